;; Its message is no UTF-8.
(data (i32.const 0x20000) "\ff\fe\c0\80\ed")
(data (i32.const 136) "\00\00\02\00")
