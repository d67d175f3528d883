;; Eighty core instances, where 64 are the limit. It exports nothing: it is refused before anyone looks for that.
(component
  (core module $empty)
  (component $ten
    (alias outer 1 $empty (core module $empty))
    (core instance (instantiate $empty)) (core instance (instantiate $empty)) (core instance (instantiate $empty))
    (core instance (instantiate $empty)) (core instance (instantiate $empty)) (core instance (instantiate $empty))
    (core instance (instantiate $empty)) (core instance (instantiate $empty)) (core instance (instantiate $empty))
    (core instance (instantiate $empty))
  )
  (instance (instantiate $ten)) (instance (instantiate $ten)) (instance (instantiate $ten)) (instance (instantiate $ten))
  (instance (instantiate $ten)) (instance (instantiate $ten)) (instance (instantiate $ten)) (instance (instantiate $ten))
)
