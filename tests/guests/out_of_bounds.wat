;; Its answer lies where it has no memory.
(func $check (result i32) (i32.const 0x7ffffffc))
