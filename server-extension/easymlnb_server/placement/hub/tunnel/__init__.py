"""The connection between a kernel on a node and the server that started it."""
