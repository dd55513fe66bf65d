"""The far side of nodes: kernels that this server runs for others."""
