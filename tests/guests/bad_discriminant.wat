;; Its answer is neither ok nor an error.
(data (i32.const 128) "\02")
