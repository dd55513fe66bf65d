"""The version of the package, which ``setup.py`` reads here, and that of its protocol."""

__version__ = "0.1.0"

PROTOCOL = 3
"""Version of the messages between a kernel and its server; both must have the same."""
