"""Parse the head of a call in the strictest form of HTTP; Tornado parses all other requests.

The bytes are untrusted and precede any login. httptools parses them in linear time.
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
    """The head of a call: its service, its headers, when it was ``received``, and its path."""

    service: str
    headers: Mapping[str, str]
    received: float
    path: str = ""


class _Unusual(Exception):
    """The head is ambiguous."""


class _Fields:
    """Collects the URL and headers from httptools."""

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


class ParsedHead(NamedTuple):
    """What a head says: the name in its path, its headers, the number of its route, its path."""

    service: str
    headers: Mapping[str, str]
    route: int = 0
    path: str = ""


def parse(head: bytes, path: "re.Pattern[bytes]") -> ParsedHead | None:
    """Return the name in the path and the headers of a request, by their names in lower case.

    ``path`` has a group for each route, which matches the name. Returns ``None`` if the head is
    incomplete or ambiguous, repeats a header, or is not a ``POST`` to ``path``.
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
    match = path.fullmatch(fields.url)
    if match is None or parser.get_method() != b"POST" or parser.get_http_version() != "1.1":
        return None
    if not head.startswith(b"POST " + fields.url + b" HTTP/1.1\r\n"):
        return None
    route = match.lastindex or 1
    return ParsedHead(match[route].decode(), fields.headers, route - 1, fields.url.decode())
