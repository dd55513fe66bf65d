"""App pages: page sessions, and the form kernels that run them."""
