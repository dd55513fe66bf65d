"""Reading the head of a plain call, in the strictest form that HTTP has.

The bytes come from anybody, before any login, so the work is linear in their number: strings are
cut and compared, and no pattern can backtrack.
"""

import re
import string
from collections.abc import Mapping
from typing import NamedTuple

END = b"\r\n\r\n"

HEAD_LIMIT = 2**16
"""Bytes of a request's head, at most. Tornado's limit is the same."""

_METHOD = b"POST "
_VERSION = b" HTTP/1.1"
_VISIBLE = bytes(range(0x21, 0x7F))
_IN_VALUE = b"\t " + _VISIBLE
_IN_NAME = (string.ascii_letters + string.digits + "-").encode()


class RequestHead(NamedTuple):
    """What a call's headers say: its service, all of them, and when they had ``received``."""

    service: str
    headers: Mapping[str, str]
    received: float


def parse(head: bytes, path: "re.Pattern[bytes]") -> tuple[str, dict[str, str]] | None:
    """Return the name in the path and the headers of a request, by their names in lower case.

    Returns ``None`` for a head that is not whole, that is no ``POST`` to ``path``, that has a
    header twice, or that could be read in more than one way.
    """
    if not head.endswith(END):
        return None
    first, *lines = head[: -len(END)].split(b"\r\n")
    if not (first.startswith(_METHOD) and first.endswith(_VERSION)):
        return None
    found = path.fullmatch(first, len(_METHOD), max(len(first) - len(_VERSION), len(_METHOD)))
    if found is None:
        return None
    headers: dict[str, str] = {}
    for line in lines:
        field = _field(line)
        if field is None or field[0] in headers:
            return None
        headers[field[0]] = field[1]
    return found[1].decode(), headers


def _field(line: bytes) -> tuple[str, str] | None:
    """Return the name and value of a header line; ``None`` if anything in it is unusual."""
    name, colon, value = line.partition(b":")
    if not colon or not name or name.translate(None, _IN_NAME):
        return None
    value = value.strip(b"\t ")
    if value.translate(None, _IN_VALUE):
        return None
    return name.decode().lower(), value.decode()
