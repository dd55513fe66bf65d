"""Where worker kernels start."""
