"""The base class of all messages between processes, and text that they can contain.

Python strings may contain lone surrogates, for example from ``json.loads('"\\\\ud83d"')`` or from
file names that are not UTF-8. No encoder accepts them, so they are escaped.
"""

from typing import Any

import msgspec

_encode = msgspec.msgpack.Encoder().encode


class Message(msgspec.Struct, kw_only=True, array_like=True, tag=True):
    """Base of all messages."""


class ResultMessage(Message):
    """Base of the result of a call; ``file`` is the path of a body that is not in the frame."""

    id: int
    content_type: str
    filename: str = ""
    file: str = ""


class ErrorMessage(Message):
    """Base of the error of a call."""

    id: int
    code: str
    message: str
    details: Any = None


def encode(message: Message) -> bytes:
    """Return the msgpack of a message, with text that UTF-8 cannot represent escaped."""
    try:
        return _encode(message)
    except UnicodeEncodeError:
        return _encode(all_sendable(msgspec.to_builtins(message)))


def sendable(text: str) -> str:
    """Return a text with its lone surrogates escaped: ``\\ud83d`` as six characters."""
    text = str.__str__(text)  # no encoder accepts subclasses of str
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def all_sendable(value: Any) -> Any:
    """Return a value of plain containers with every text in it ``sendable``."""
    if isinstance(value, str):
        return sendable(value)
    if isinstance(value, dict):
        return {all_sendable(key): all_sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [all_sendable(item) for item in value]
    return value
