"""The text of an API key: a prefix, 256 random bits and a checksum.

Secret scanners find keys by ``PATTERN``. The checksum tells a typo without asking a server.
"""

import re
import secrets
from zlib import crc32

PREFIX = "emnb_"
PATTERN = r"emnb_[0-9A-Za-z]{49}"

_KEY = re.compile(r"emnb_[0-9A-Za-z]{49}\Z")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM, _CHECKSUM = 43, 6
"""Digits in base 62 of 256 bits, and of a CRC-32."""

HINT = len(PREFIX) + 4
"""Characters of a key that lists show, so that people recognize it."""

TYPO = (
    "This API key has a typo: its checksum is wrong. Copy the whole key, which is "
    f"'{PREFIX}' and {_RANDOM + _CHECKSUM} letters and digits."
)


def generate() -> str:
    """Return the text of a new key."""
    body = _digits(secrets.randbits(256), _RANDOM)
    return f"{PREFIX}{body}{_checksum(body)}"


def is_key(text: str) -> bool:
    """Return whether a token is meant to be an API key."""
    return text.startswith(PREFIX)


def is_complete(text: str) -> bool:
    """Return whether a key has the right form and checksum."""
    if not _KEY.match(text):
        return False
    body = text[len(PREFIX) : -_CHECKSUM]
    return text[-_CHECKSUM:] == _checksum(body)


def _checksum(body: str) -> str:
    return _digits(crc32(f"{PREFIX}{body}".encode()), _CHECKSUM)


def _digits(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
