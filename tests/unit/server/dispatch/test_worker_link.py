"""The server's end of a link: answers go to their calls, and a lost kernel fails them all."""

import asyncio

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, InvalidInput
from easymlnb.contract.worker_protocol import Call, Drain, Failure, Item, Message, Progress
from easymlnb_server.dispatch.call import CallHandle
from support.fakes import FakeLink


class Caller:
    """One call on a link, and what came of it."""

    def __init__(self, link: FakeLink, number: int = 1) -> None:
        self.events: list[tuple[Message, bytes]] = []
        self.ended: list[float] = []
        self.errors: list[EasyMLNBError] = []
        call = Call(id=number, service="f", request_id=f"request-{number}")
        loop = asyncio.get_running_loop()
        self.pending = CallHandle(call, b"{}", loop, lambda *event: self.events.append(event))
        link.start(self.pending, lambda pending, seconds: self.ended.append(seconds))


async def test_answer_ends_the_call() -> None:
    link = FakeLink()
    caller = Caller(link)
    assert (len(link), link.runs(1), link.calls) == (1, True, [1])
    link.answer(1, b"42", 0.5)
    answer = caller.pending.answered.result()
    assert (answer.body, answer.error, caller.ended, len(link)) == (b"42", None, [0.5], 0)
    assert caller.pending.body == b""  # a large request is not kept for its answer's sake


async def test_failure_is_the_error_that_it_was() -> None:
    link = FakeLink()
    caller = Caller(link)
    details = [{"field": "x", "message": "is missing"}]
    link.receive(
        Failure(id=1, code="invalid_input", message="No.", details=details, trace="t"), b""
    )
    answer = caller.pending.answered.result()
    assert isinstance(answer.error, InvalidInput)
    assert (answer.error.details, answer.error.request_id) == (details, "request-1")
    assert answer.failure is not None
    assert "t" not in answer.error.to_dict()["error"].values()


async def test_events_go_to_their_caller_until_it_is_answered() -> None:
    link = FakeLink()
    one, two = Caller(link, 1), Caller(link, 2)
    link.receive(Progress(id=1, fraction=0.5), b"")
    link.receive(Item(id=2), b"7")
    one.pending.fail(CallCancelled())
    link.receive(Item(id=1), b"too late")
    link.receive(Item(id=99), b"unknown")
    assert [body for _, body in one.events] == [b""]
    assert [body for _, body in two.events] == [b"7"]


async def test_answers_to_unknown_calls_are_dropped() -> None:
    link = FakeLink()
    caller = Caller(link)
    link.answer(5)
    link.answer(1)
    link.answer(1, b"again")
    assert (caller.pending.answered.result().body, caller.ended) == (b"1", [0.01])


async def test_closed_link_fails_its_calls_once() -> None:
    link = FakeLink()
    callers = [Caller(link, n) for n in range(3)]
    link.close()
    link.close()
    assert link.lost
    assert [c.ended for c in callers] == [[0.0]] * 3
    assert {c.pending.answered.result().error.code for c in callers} == {"worker_lost"}


async def test_call_on_a_closed_link_fails_at_once() -> None:
    link = FakeLink()
    link.close()
    caller = Caller(link)
    assert (caller.ended, link.calls) == ([0.0], [])
    assert caller.pending.answered.result().error.code == "worker_lost"


async def test_cancel_is_sent_for_calls_that_are_out_only() -> None:
    link = FakeLink()
    Caller(link)
    link.cancel(1)
    link.answer(1)
    link.cancel(1)
    link.cancel(2)
    assert link.cancels == [1]


async def test_given_up_call_is_over_and_its_answer_dropped() -> None:
    link = FakeLink()
    caller = Caller(link)
    link.give_up(1)
    link.give_up(1)
    link.answer(1)
    assert (caller.ended, len(link)) == ([0.0], 0)


async def test_says_what_it_is_told() -> None:
    link = FakeLink()
    link.send(Drain())
    assert link.sent == [Drain()]


async def test_caller_that_cannot_be_told_costs_others_nothing() -> None:
    def broken(*anything: object) -> None:
        raise KeyError("ours")

    link = FakeLink()
    first, other = Caller(link, 1), Caller(link, 2)
    first.pending.listener = first.pending.on_done = broken
    first.pending.canceller = lambda pending, error: first.errors.append(error)
    link.receive(Progress(id=1, fraction=0.5), b"")
    with link.deferred_results():
        link.answer(1)
        link.answer(2, b"42")
    assert [error.code for error in first.errors] == ["internal_error"]
    assert (first.ended, other.ended, other.pending.answered.result().body) == (
        [0.01],
        [0.01],
        b"42",
    )
    assert not link.lost
