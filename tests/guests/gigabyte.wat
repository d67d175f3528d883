;; Claims that its message, from address 0 on, is a gigabyte long.
(data (i32.const 128) "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\40")
