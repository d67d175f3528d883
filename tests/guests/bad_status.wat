;; Judges with a status that does not exist.
(data (i32.const 132) "\03")
