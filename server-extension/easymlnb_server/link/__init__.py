"""The WebSocket by which kernels connect to the server."""
