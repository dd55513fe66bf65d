"""Lines of the log hold no secrets of an address, have an end, and are not endlessly many."""

import io
import logging

import pytest

from easymlnb_server.observability.log_filter import BURST, LONGEST_LINE, RATE, LogFilter, scrub

TOKEN = "S3cretS3cret"


@pytest.mark.parametrize(
    "query",
    [
        f"token={TOKEN}",
        f"Token={TOKEN}",
        f"TOKEN={TOKEN}&service=roll",
        f"service=roll&t%6Fken={TOKEN}",
        f"%74oken={TOKEN}",
        f"t%256Fken={TOKEN}",
        f"api_tok={TOKEN}",
        f"access-token={TOKEN}",
        f"tk={TOKEN}",
        f"token[]={TOKEN}",
        f"service={TOKEN}%00",
        f"a=b;token={TOKEN}",
        f"service=a;token={TOKEN}",
        f"next=%2Flab%3Ftoken%3D{TOKEN}",
        f"{TOKEN}",
        f"?token={TOKEN}",
        f"a=1?token={TOKEN}",
        f'q="x&token={TOKEN}',
        f"token={TOKEN}'&\"x={TOKEN}",
        f"token=\xff{TOKEN}",
    ],
)
@pytest.mark.parametrize(
    "line", ["403 GET /api/x?%s (@127.0.0.1) 1.00ms referer=None", '  "Referer": "http://h/?%s"']
)
def test_no_spelling_of_a_parameter_brings_its_value(line: str, query: str) -> None:
    assert TOKEN not in scrub(line % query)


def test_credentials_in_front_of_a_host_are_left_out() -> None:
    assert TOKEN not in scrub(f"404 GET http://me:{TOKEN}@host/x?y=1")


@pytest.mark.parametrize(
    "line",
    [
        "404 GET /easymlnb/services?q=energy&sort=name&limit=20 (me@127.0.0.1) 1.00ms",
        "200 GET /static/x.js?v=abc123 (@127.0.0.1)",
        "200 GET /api/contents/a/b.ipynb?content=1&type=notebook&_=1700000000000",
        "304 GET /x?1700000000000",
        "Which one? That one.",
        "user@host and a//b",
    ],
)
def test_other_lines_stay(line: str) -> None:
    assert scrub(line) == line


def test_long_lines_have_an_end() -> None:
    assert len(scrub("404 GET /" + "a" * 60_000 + " (me@127.0.0.1) 1.00ms")) < 500
    assert scrub("404 GET /" + "a" * 60_000 + " (me@127.0.0.1) 1.00ms").endswith(" 1.00ms")
    assert len(scrub("404 GET /?" + "a=1&" * 16_000)) < 500
    assert len(scrub("a " * 60_000)) <= LONGEST_LINE + 3


def written(*records: logging.LogRecord, now: list[float] | None = None) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    clock = iter(now or [0.0] * 10_000)
    handler.addFilter(LogFilter(lambda: next(clock)))
    for record in records:
        handler.handle(record)
    return stream.getvalue()


def record(
    message: str, *args: object, level: int = logging.INFO, line: int = 1
) -> logging.LogRecord:
    return logging.LogRecord("ServerApp", level, "http1connection.py", line, message, args, None)


def test_header_values_are_not_repeated() -> None:
    said = "Malformed HTTP message from %s: %s"
    for value in (repr(f"token {TOKEN}\x01"), repr(f"it's {TOKEN}\x01"), repr(TOKEN.encode())):
        line = written(record(said, "127.0.0.1", f"Invalid header value {value}"))
        assert line == "Malformed HTTP message from 127.0.0.1: Invalid header value\n"


def test_a_flood_of_lines_is_cut_and_counted() -> None:
    flood = [record("refused") for _ in range(BURST + 500)]
    other = record("started", line=2)
    late = record("refused")
    clock = [0.0] * (2 * len(flood) + 3)
    careful = LogFilter(lambda: clock.pop() if clock else 60.0)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(careful)
    for one in (*flood, other):
        handler.handle(one)
    assert stream.getvalue().count("refused") == BURST
    assert "started" in stream.getvalue()
    clock.clear()
    handler.handle(late)
    assert stream.getvalue().endswith("refused (500 more lines like this were omitted)\n")
    for _ in range(1000):
        handler.handle(record("refused"))
    assert stream.getvalue().count("refused") <= BURST + 1 + 60 * RATE


def test_a_record_that_reaches_two_handlers_counts_once() -> None:
    careful = LogFilter(lambda: 0.0)
    one = record("x")
    assert [careful.filter(one), careful.filter(one)] == [True, True]
    rest = [careful.filter(record("x")) for _ in range(BURST)]
    assert rest.count(True) == BURST - 1


def test_lines_for_debugging_are_all_there() -> None:
    many = [record("x", level=logging.DEBUG) for _ in range(2 * BURST)]
    assert written(*many).count("x") == 2 * BURST


def test_a_line_that_cannot_be_written_harms_nobody() -> None:
    assert LogFilter(lambda: 0.0).filter(record("%d", "x"))
