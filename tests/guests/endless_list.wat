;; Claims four billion measurements, more than it has memory for.
(data (i32.const 144) "\00\00\00\00\ff\ff\ff\ff")
