"""The engine: `compile_request`, `compile_step`, `compile_forward` give programs; `worker` runs them."""
