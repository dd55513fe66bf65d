"""The connection of a kernel on a node to its server."""
