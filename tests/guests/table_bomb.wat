;; Grows a table until it is refused.
(table $hoard 0 funcref)
(func $check (result i32)
  (loop (br_if 0 (i32.ne (table.grow $hoard (ref.null func) (i32.const 1000)) (i32.const -1))))
  unreachable)
