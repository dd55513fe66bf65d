"""The life of worker kernels: start, registration, replacement, scaling."""
