"""The base class of all messages between processes, and how they are encoded."""

import msgspec

from easymlnb.contract.texts import all_sendable

_encode = msgspec.msgpack.Encoder().encode


class Message(msgspec.Struct, kw_only=True, array_like=True, tag=True):
    """Base of all messages."""


def encode(message: Message) -> bytes:
    """Return the msgpack of a message, with text that UTF-8 cannot represent escaped."""
    try:
        return _encode(message)
    except UnicodeEncodeError:
        return _encode(all_sendable(msgspec.to_builtins(message)))
