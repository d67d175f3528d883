;; Its answer lies at an odd address.
(func $check (result i32) (i32.const 129))
