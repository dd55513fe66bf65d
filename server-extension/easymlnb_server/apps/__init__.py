"""App pages: the places of their visitors, and the form kernels that carry them."""
