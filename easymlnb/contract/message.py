"""What all messages between server and kernel have in common."""

import msgspec


class Message(msgspec.Struct, kw_only=True, array_like=True, tag=True):
    """Base of all messages."""
