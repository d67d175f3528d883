;; Computes for ever in its start function: before anyone has called it.
(func $spin (loop (br 0)))
(start $spin)
