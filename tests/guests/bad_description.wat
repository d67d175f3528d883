;; What it says of itself is no UTF-8.
(data (i32.const 16) "\ff\fe\c0\80\ed")
