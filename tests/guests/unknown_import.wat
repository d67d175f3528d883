;; Wants a power that no agent has.
(component
  (import "evil:world/power@1.0.0" (instance (export "take" (func))))
)
