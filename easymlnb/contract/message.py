"""The base class of all messages between server and kernel."""

import msgspec


class Message(msgspec.Struct, kw_only=True, array_like=True, tag=True):
    """Base of all messages."""
