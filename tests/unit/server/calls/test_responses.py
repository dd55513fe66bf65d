"""How answers are written: whole, as events, as lines; errors before and after the first byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easymlnb.contract.errors import CallFailed
from easymlnb.contract.worker_protocol import Item, Progress, Result
from easymlnb_server.calls.responses import (
    EventStreamResponse,
    JsonLinesResponse,
    SingleResponse,
    attachment,
    writer,
)


class Out:
    """What was written, and how often it was sent on."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.data = b""
        self.flushed = 0

    def set_header(self, name: str, value: str) -> None:
        self.headers[name] = value

    def write(self, chunk: bytes) -> None:
        self.data += chunk

    def flush(self) -> Any:
        self.flushed += 1


def result(**more: Any) -> Result:
    return Result(id=1, **{"content_type": "application/json", **more})


def events(data: bytes) -> list[tuple[str, Any]]:
    """Read a stream as a browser does."""
    found = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


@pytest.mark.parametrize(
    ("accept", "stream", "kind"),
    [
        ("", False, SingleResponse),
        ("*/*", False, SingleResponse),
        ("image/png", False, SingleResponse),
        ("text/event-stream", False, EventStreamResponse),
        ("application/json, text/event-stream", False, EventStreamResponse),
        ("", True, JsonLinesResponse),
        ("*/*", True, JsonLinesResponse),
        ("application/jsonl", True, JsonLinesResponse),
        ("application/json", True, SingleResponse),
        ("application/json, application/jsonl;q=0.5", True, SingleResponse),
        ("text/event-stream", True, EventStreamResponse),
    ],
)
def test_choice_by_accept(accept: str, stream: bool, kind: type) -> None:
    assert type(writer(Out(), accept, stream)) is kind


def test_whole_result() -> None:
    out = Out()
    whole = SingleResponse(out, stream=False)
    whole.event(Progress(id=1, fraction=0.5), b"")
    whole.result(result(content_type="image/png", filename="x.png"), b"bytes")
    assert (out.data, out.headers["Content-Type"]) == (b"bytes", "image/png")
    assert out.headers["Content-Disposition"].startswith('attachment; filename="x.png"')


@pytest.mark.parametrize("items", [[], [b"1"], [b"1", b'"two"', b"null"]])
def test_stream_as_an_array(items: list[bytes]) -> None:
    out = Out()
    whole = SingleResponse(out, stream=True)
    for item in items:
        whole.event(Item(id=1), item)
    whole.result(result(), b"")
    assert json.loads(out.data) == [json.loads(item) for item in items]


def test_error_of_a_whole_answer_is_raised() -> None:
    out = Out()
    with pytest.raises(CallFailed):
        SingleResponse(out, stream=True).error(CallFailed())
    assert out.data == b""


def test_lines_are_sent_as_they_come() -> None:
    out = Out()
    lines = JsonLinesResponse(out)
    for number in range(3):
        lines.event(Item(id=1), str(number).encode())
        lines.flush()
        assert out.flushed == number + 1
    lines.event(Progress(id=1, fraction=0.5), b"")
    lines.result(result(), b"")
    assert (out.data, out.headers["Content-Type"]) == (b"0\n1\n2\n", "application/jsonl")


def test_stream_without_items_is_an_empty_body_of_lines() -> None:
    out = Out()
    JsonLinesResponse(out).result(result(), b"")
    assert (out.data, out.headers["Content-Type"]) == (b"", "application/jsonl")


def test_error_before_the_first_line_is_raised_and_a_later_one_is_the_last_line() -> None:
    out = Out()
    lines = JsonLinesResponse(out)
    with pytest.raises(CallFailed):
        lines.error(CallFailed())
    lines.event(Item(id=1), b"1")
    lines.error(CallFailed())
    assert json.loads(out.data.splitlines()[-1])["error"]["code"] == "call_failed"


def test_events() -> None:
    out = Out()
    sse = EventStreamResponse(out)
    assert out.headers["Content-Type"] == "text/event-stream"
    assert out.flushed == 0  # a call that ends at once is one write
    sse.event(Progress(id=1, fraction=0.5, text="half\nway"), b"")
    sse.event(Item(id=1), b'{"a": 1}')
    sse.ping()
    sse.result(result(), b"6")
    sse.error(CallFailed())
    kinds = events(out.data)
    assert kinds[:3] == [
        ("progress", {"fraction": 0.5, "text": "half\nway"}),
        ("item", {"a": 1}),
        ("result", 6),
    ]
    assert kinds[3][1]["error"]["code"] == "call_failed"


def test_end_of_a_stream_of_events_is_null() -> None:
    out = Out()
    EventStreamResponse(out).result(result(), b"")
    assert events(out.data) == [("result", None)]


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_label_is_a_valid_header(name: str) -> None:
    value = attachment(name)
    assert value.isascii()
    assert not set(value) & {chr(n) for n in (*range(32), 127)}
    assert value.count('"') == 2
