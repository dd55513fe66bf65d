"""Parse the head of a call in the strictest form that HTTP has; everything else is Tornado's.

The bytes come from anyone, before any login. httptools parses them in linear time.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import httptools

END = b"\r\n\r\n"

HEAD_LIMIT = 2**16
"""Maximum bytes of a request's head. Tornado's limit is the same."""

_NAME = re.compile(rb"[A-Za-z0-9-]+\Z")
_VALUE = re.compile(rb"[\t -~]*\Z")


class RequestHead(NamedTuple):
    """What a call's headers say: its service, all of them, and when they had ``received``."""

    service: str
    headers: Mapping[str, str]
    received: float


class _Unusual(Exception):
    """The head could be read in more than one way."""


class _Fields:
    """Collects what httptools finds in a head."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        if key in self.headers or not (_NAME.match(name) and _VALUE.match(value)):
            raise _Unusual
        self.headers[key] = value.decode("latin-1").rstrip("\t ")


def parse(head: bytes, path: "re.Pattern[bytes]") -> tuple[str, dict[str, str]] | None:
    """Return the name in the path and the headers of a request, by their names in lower case.

    Returns ``None`` for a head that is incomplete, that is no ``POST`` to ``path``, that has a
    header twice, or that could be read in more than one way.
    """
    lines = head.count(b"\r\n")
    if head.find(END) != len(head) - len(END) or not lines == head.count(b"\n") == head.count(
        b"\r"
    ):
        return None
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None  # `_Unusual` arrives as the first of these
    found = path.fullmatch(fields.url)
    if found is None or parser.get_method() != b"POST" or parser.get_http_version() != "1.1":
        return None
    if not head.startswith(b"POST " + fields.url + b" HTTP/1.1\r\n"):
        return None
    return found[1].decode(), fields.headers
