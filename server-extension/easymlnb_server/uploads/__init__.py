"""Large bodies and files sent before the call that uses them."""
