"""Text that every wire takes.

Python's texts may hold lone surrogates: ``json.loads('"\\\\ud83d"')`` makes them, and so does
``os.listdir`` of names that are not UTF-8. They are no characters, so no encoder takes them.
"""

from typing import Any


def sendable(text: str) -> str:
    """Return a text with its lone surrogates escaped: ``\\ud83d`` as six characters."""
    text = str.__str__(text)  # of a subclass, which no encoder takes either, its characters
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
