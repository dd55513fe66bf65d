"""The fast path reads a head only as Tornado would, if it reads it at all."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders, HTTPInputError, parse_request_start_line

from easymlnb_server.http.fastpath.request_head import END, parse

PATH = re.compile(rb"/services/([A-Za-z0-9_-]+)/call")
HEAD = b"POST /services/f/call HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2"

pieces = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b"\r\n ", b"\xa0", b"\xff", b"\x0b",
        b"Content-Length: 3", b"content-length: 2", b"Content-Length : 2", b"Content-Length:+2",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding:\tchunked", b"Host: b", b"Host:",
        b"X_Y: 1", b"HTTP/1.0", b"HTTP/1.1", b"POST", b"GET", b"?a=1", b"/", b"%2e", b"http://a/",
        b"Expect: 100-continue", b"Upgrade: websocket", b"Connection: Upgrade", b"Accept: a, b",
    ]
)  # fmt: skip


def by_tornado(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, _, rest = head.decode("latin-1").partition("\n")
    line = parse_request_start_line(first.rstrip("\r"))
    headers = HTTPHeaders.parse(rest)
    return line.method, line.path, {name.lower(): value for name, value in headers.items()}


def agree(head: bytes) -> None:
    found = parse(head, PATH)
    if found is None:
        return
    name, headers, _, path = found
    try:
        assert path == f"/services/{name}/call"
        assert by_tornado(head) == ("POST", path, headers)
    except HTTPInputError as error:
        raise AssertionError(f"Tornado refuses what the fast path reads: {head!r}") from error


def test_a_usual_head() -> None:
    headers = {"host": "localhost", "content-length": "2"}
    assert parse(HEAD + END, PATH) == ("f", headers, 0, "/services/f/call")
    agree(HEAD + END)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(HEAD)), pieces), min_size=1, max_size=4))
def test_pieces_put_into_a_head(changes: list[tuple[int, bytes]]) -> None:
    head = HEAD
    for at, piece in sorted(changes, reverse=True):
        head = head[:at] + piece + head[at:]
    agree(head + END)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(pieces, st.binary(max_size=8)), max_size=8))
def test_lines_of_anything(lines: list[bytes]) -> None:
    agree(b"\r\n".join([HEAD, *lines]) + END)


@pytest.mark.parametrize(
    "lines",
    [
        b"Host: a\r\nHost: a", b"Content-Length: 2\r\ncontent-length: 2", b"A: \xe9", b"A: b\r\n c",
        b"A b: c", b"A\0: c", b"A: c\0", b"A: c\nB: d", b"A: c\rB: d", b" A: c", b": c", b"A_B: c",
        b"Content-Length: 2, 2", b"Content-Length: 2\r\nTransfer-Encoding: chunked",
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_left_to_tornado(lines: bytes) -> None:
    first = b"POST /services/f/call HTTP/1.1\r\n"
    assert parse(first + lines + END, PATH) is None
