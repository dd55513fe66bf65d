"""Messages of a page session: which are sent, and which together."""

import json
from collections.abc import Iterator
from threading import Thread

import pytest

from easymlnb.apps import session as sessions
from easymlnb.apps.session import WidgetSession
from easymlnb.contract.page_protocol import FromPage, ToPage


@pytest.fixture
def written() -> list[list[str]]:
    """The texts of each write."""
    return []


@pytest.fixture
def session(written: list[list[str]]) -> Iterator[WidgetSession]:
    def send(*messages: ToPage) -> None:
        written.append([json.loads(one.content)["text"] for one in messages])

    made = WidgetSession("s", send)
    made.is_connected = True
    yield made


def test_messages_of_a_batch_are_one_write(
    session: WidgetSession, written: list[list[str]]
) -> None:
    session.send("x", {"text": "1"})
    with session.batch():
        session.send("x", {"text": "2"})
        with session.batch():
            session.send("x", {"text": "3"})
        session.send("x", {"text": "4"})
        assert written == [["1"]]
    session.send("x", {"text": "5"})
    assert written == [["1"], ["2", "3", "4"], ["5"]]


def test_messages_of_other_threads_do_not_overtake(
    session: WidgetSession, written: list[list[str]]
) -> None:
    with session.batch():
        session.send("x", {"text": "first"})
        other = Thread(target=session.send, args=("x", {"text": "second"}))
        other.start()
        other.join()
        session.send("x", {"text": "third"})
    assert written == [["first", "second"], ["third"]]


def test_long_batch_is_sent_before_its_end(
    session: WidgetSession, written: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_UNSENT", 50)
    with session.batch():
        session.send("x", {"text": "x" * 100})
        assert len(written) == 1
    assert len(written) == 1


def test_failed_batch_is_sent(session: WidgetSession, written: list[list[str]]) -> None:
    with pytest.raises(ZeroDivisionError), session.batch():
        session.send("x", {"text": "1"})
        raise ZeroDivisionError
    assert written == [["1"]]


def test_messages_of_an_interrupted_write_are_not_repeated(written: list[list[str]]) -> None:
    def send(*messages: ToPage) -> None:
        written.append([json.loads(one.content)["text"] for one in messages])
        if len(written) == 1:
            raise KeyboardInterrupt

    session = WidgetSession("s", send)
    session.is_connected = True
    with pytest.raises(KeyboardInterrupt):
        session.send("x", {"text": "1"})
    session.send("x", {"text": "2"})
    assert written == [["1"], ["2"]]


def test_messages_before_the_page_connects_are_not_sent(written: list[list[str]]) -> None:
    made = WidgetSession("s", lambda *messages: written.append([]))
    made.send("x", {"text": "1"})
    assert written == []
    made.handle(FromPage(kind="other", header=b"{}", content=b"{}"))
    assert len(written) == 1  # the end of the turn
