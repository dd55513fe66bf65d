"""Server-sent events, cut at any place."""

import pytest

from easymlnb.client.sse import EventReader, Events
from easymlnb.contract.errors import EasyMLNBError, ServerUnreachable

STREAM = (
    b": a comment\r\n\r\n"
    b'event: item\ndata: {"a":\ndata: 1}\n\n'
    b"data:bare\r\n\r\n"
    b"event: only a name\n\n"
    b"id: 7\nevent: item\rdata: \xc3\xa9\r\r"
)
EVENTS = [("item", '{"a":\n1}'), ("message", "bare"), ("item", "é")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_chunks_may_be_cut_anywhere(size):
    events = Events()
    found = []
    for at in range(0, len(STREAM), size):
        found += events.feed(STREAM[at : at + size])
    assert found + list(events.feed(b"\n")) == EVENTS


def test_a_long_line_is_put_together_once():
    events, piece = Events(), b"x" * 2**16
    assert list(events.feed(b"data: ")) == []
    for _ in range(1000):
        assert list(events.feed(piece)) == []
    assert len(events._rest) == 1001 + (events._rest[0] == b"")
    ((_, data),) = [*events.feed(b"\n"), *events.feed(b"\n")]
    assert len(data) == 1000 * len(piece)


def test_a_reader_without_listener_passes_over_progress():
    reader = EventReader({})
    assert list(reader.feed(b'event: progress\ndata: {"fraction": 1}\n\n')) == []
    assert list(reader.feed(b"event: result\ndata: [1]\n\n")) == []
    reader.end()
    assert reader.value == [1]


def test_an_unknown_error_is_still_an_error():
    with pytest.raises(EasyMLNBError, match="The call failed"):
        list(EventReader({}).feed(b"event: error\ndata: []\n\n"))


def test_an_end_without_result_is_said():
    with pytest.raises(ServerUnreachable):
        EventReader({}).end()
