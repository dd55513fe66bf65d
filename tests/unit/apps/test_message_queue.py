"""Message queues of pages: order, time limits, and independence of the pages."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from easymlnb.apps import message_queue
from easymlnb.apps.message_queue import MAX_INTERRUPTS, MessageQueue
from easymlnb.contract.page_protocol import ClosePage, FromPage
from easymlnb.forms.reused_threads import ReusedThreads

PATIENCE = 30.0


def say(kind: str, content: bytes = b"") -> FromPage:
    return FromPage(kind=kind, header=b"{}", content=content)


def spin() -> None:
    """Compute without end, as a message that builds too many widgets would."""
    while True:
        sum(range(100))


def until(done: Callable[[], Any], look: Callable[[], None] = lambda: None) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end
        look()
        time.sleep(0.01)


class Page:
    """A queue and the messages that it has processed."""

    def __init__(self, seconds: float = 0.05, **acts: Callable[[], None]) -> None:
        self.done: list[str] = []
        self.spent: list[str] = []
        self.begun = threading.Event()
        self._acts = acts
        self.queue = MessageQueue(self._handle, self.spent.append, seconds=seconds)

    def _handle(self, message: Any) -> None:
        self.begun.set()
        kind = "leave" if isinstance(message, ClosePage) else message.kind
        self._acts.get(kind, lambda: None)()
        self.done.append(kind)


def test_messages_are_done_in_their_order_and_threads_do_not_stay():
    page = Page()
    said = [str(at) for at in range(300)]
    for one in said:
        page.queue.put(say(one))
    until(lambda: page.done == said)
    until(lambda: not any(one.name == "easymlnb-form" for one in threading.enumerate()))


def test_a_thread_without_work_is_used_again():
    threads, used = ReusedThreads(), []
    for count in range(1, 21):
        threads.run(lambda: used.append(threading.get_ident()))
        until(lambda count=count: len(used) == count and threads._idle == 1)
    assert len(set(used)) == 1


def test_a_busy_page_keeps_no_other_waiting():
    release = threading.Event()
    busy, other = Page(wait=lambda: bool(release.wait(PATIENCE)) and None), Page()
    busy.queue.put(say("wait"))
    busy.begun.wait(PATIENCE)
    other.queue.put(say("mine"))
    until(lambda: other.done == ["mine"])
    assert busy.done == []
    release.set()
    until(lambda: busy.done == ["wait"])


def test_what_takes_too_long_is_ended_and_what_follows_is_done():
    page = Page(spin=spin)
    for kind in ("spin", "one", "two"):
        page.queue.put(say(kind))
    until(lambda: page.done == ["one", "two"], page.queue.check)
    assert page.spent == []


def test_an_interrupt_that_is_swallowed_is_repeated():
    def deaf() -> None:
        try:
            spin()
        except BaseException:
            spin()

    page = Page(deaf=deaf)
    page.queue.put(say("deaf"))
    page.queue.put(say("next"))
    until(lambda: page.done == ["next"], page.queue.check)


def test_waiting_is_no_work_that_is_ended():
    page = Page(rest=lambda: time.sleep(0.3))
    page.queue.put(say("rest"))
    until(lambda: page.done == ["rest"], page.queue.check)


def test_a_page_that_does_it_again_and_again_is_given_up():
    page = Page(spin=spin)
    for _ in range(MAX_INTERRUPTS):
        page.queue.put(say("spin"))
    until(lambda: page.spent, page.queue.check)
    assert page.spent == ["its messages take too long to process"]
    page.queue.put(ClosePage())
    until(lambda: page.done == ["leave"])


def test_leaving_ends_what_runs_and_forgets_what_waits():
    page = Page(seconds=PATIENCE * 10, spin=spin)
    page.queue.put(say("spin"))
    page.queue.put(say("never"))
    assert page.begun.wait(PATIENCE)
    page.queue.put(ClosePage())
    until(lambda: page.done == ["leave"])
    page.queue.put(say("late"))
    assert page.done == ["leave"]


def test_leaving_is_never_lost_whenever_it_comes():
    for at in range(300):
        page = Page(seconds=PATIENCE * 10, spin=lambda at=at: time.sleep(0.00001 * at))
        for kind in ("spin", "spin"):
            page.queue.put(say(kind))
        time.sleep(0.00001 * (at % 30))
        page.queue.put(ClosePage())
        until(lambda: page.done[-1:] == ["leave"])  # noqa: B023


@pytest.mark.parametrize("bound", ["MAX_MESSAGES", "MAX_BYTES"])
def test_no_more_waits_than_a_page_may_say(bound, monkeypatch):
    monkeypatch.setattr(message_queue, bound, 10)
    release = threading.Event()
    page = Page(wait=lambda: bool(release.wait(PATIENCE)) and None)
    page.queue.put(say("wait"))
    assert page.begun.wait(PATIENCE)
    for _ in range(12):
        page.queue.put(say("more", b"x"))
    assert "it sends more messages than can be processed" in page.spent
    release.set()
    until(lambda: "wait" in page.done)


def test_an_error_of_one_message_is_not_the_end_of_the_others():
    def fail() -> None:
        raise MemoryError

    page = Page(fail=fail)
    page.queue.put(say("fail"))
    page.queue.put(say("next"))
    until(lambda: page.done == ["next"])
