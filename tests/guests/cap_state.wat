;; Wants 64 KiB and a byte remembered: some(list) in its outcome, from page 2 on.
(data (i32.const 160) "\01\00\00\00\00\00\02\00\01\00\01\00")
(func $check (result i32)
  (drop (memory.grow (i32.const 1)))
  (i32.const 128))
