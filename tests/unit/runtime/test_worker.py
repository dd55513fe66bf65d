"""The worker's loop in a process of its own, against a server that speaks only the protocol."""

import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from easymlnb.contract.job_protocol import JobPromoted
from easymlnb.contract.worker_protocol import (
    Call,
    Cancel,
    Drain,
    Failure,
    Item,
    NotStarted,
    Recall,
    Register,
    Result,
    pack,
)
from support.worker_peer import WAIT, Peer

pytestmark = pytest.mark.slow


@pytest.fixture
def own() -> Iterator[Peer]:
    """A worker to be lost."""
    made = Peer()
    yield made
    made.close()


def test_dials_with_its_secret_and_offers_its_services(peer: Peer) -> None:
    assert peer.secret == "easymlnb secret"
    assert isinstance(peer.offer, Register)
    assert "double" in {spec.name for spec in peer.offer.specs}


def test_result_with_its_log_and_time(peer: Peer) -> None:
    number = peer.call("double", x=21)
    message = peer.end()
    assert (message.id, peer.body, message.log) == (number, b"42", "seen 21\n")
    assert message.seconds > 0


def test_a_call_that_has_ended_becomes_no_job(peer: Peer) -> None:
    assert peer.answer("double", x=1) == 2
    peer.send(pack(JobPromoted(id=1, job="j", attempt=1)))
    assert peer.answer("double", x=2) == 4


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("says", {}, ""),
        ("returns_lone", {}, "result_not_encodable"),
        ("yields_lone", {}, "result_not_encodable"),
        ("raises_lone", {"kind": "plain"}, "call_failed"),
        ("raises_lone", {"kind": "group"}, "call_failed"),
        ("raises_lone", {"kind": "caller"}, "caller_error"),
        ("exits_beside", {}, "call_failed"),
        ("exits_in_a_task", {}, ""),
    ],
)
def test_worker_survives_what_no_wire_takes(
    peer: Peer, name: str, values: dict[str, Any], code: str
) -> None:
    numbers = [peer.call(name, **values), peer.call("double", x=1)]
    ended = {end.id: end for end in (peer.end(), peer.end())}
    assert getattr(ended[numbers[0]], "code", "") == code
    assert isinstance(ended[numbers[1]], Result)
    if name == "says":
        assert ended[numbers[0]].log == "said \\ud83d\n"


def test_bad_input_and_unknown_service(peer: Peer) -> None:
    assert peer.answer("double", x="no") == "invalid_input"
    assert peer.answer("nobody") == "service_not_found"
    assert peer.answer("double", x=1) == 2


def test_calls_of_one_message_are_answered_in_order(peer: Peer) -> None:
    frames = [peer.frame("double", x=n) for n in range(20)]
    peer.send(*(frame for _, frame in frames))
    assert [peer.end().id for _ in frames] == [number for number, _ in frames]


def test_search_for_garbage_leaves_out_what_was_there_before_the_calls(peer: Peer) -> None:
    assert peer.answer("frozen") > 10_000


def batch(peer: Peer, *seconds: Any, progress: bool = False) -> list[int]:
    """Send calls that belong together; returns their ids."""
    numbers = [next(peer._ids) for _ in seconds]
    calls = [
        Call(id=number, service="pause", batch=numbers[0], progress=progress) for number in numbers
    ]
    bodies = [json.dumps({"seconds": value}).encode() for value in seconds]
    peer.send(*map(pack, calls, bodies))
    return numbers


def ends(peer: Peer, numbers: list[int]) -> list[str]:
    found = {end.id: getattr(end, "code", "ok") for end in (peer.end() for _ in numbers)}
    return [found[number] for number in numbers]


def test_batch_is_run_as_one(peer: Peer) -> None:
    numbers = [*batch(peer, 0, 0, "no"), *batch(peer, 0, 0), peer.call("double", x=1)]
    assert ends(peer, numbers) == ["ok", "ok", "invalid_input", "ok", "ok", "ok"]
    assert peer.answer("were_together") == [2, 2]


def test_one_of_a_batch_is_cancelled(peer: Peer) -> None:
    numbers = batch(peer, 1.2, 1.2, 1.2, 1.2, progress=True)
    peer.wait_for_progress()
    peer.send(pack(Cancel(id=numbers[1])))
    others = ends(peer, numbers)
    assert [others[at] for at in (0, 2, 3)] == ["ok"] * 3
    assert peer.answer("were_together") == [4]
    assert peer.answer("spin", seconds=0.3) == 0.3


def test_all_of_a_batch_are_cancelled(peer: Peer) -> None:
    numbers = batch(peer, WAIT, WAIT, progress=True)
    peer.wait_for_progress()
    peer.send(*(pack(Cancel(id=number)) for number in numbers))
    assert ends(peer, numbers) == ["cancelled"] * 2
    assert peer.answer("were_together") == []


def test_one_of_a_waiting_batch_is_cancelled(peer: Peer) -> None:
    running = peer.call("nap", seconds=1.2)
    numbers = batch(peer, 0, 0, 0)
    peer.send(pack(Cancel(id=numbers[0])))
    assert ends(peer, [running, *numbers]) == ["ok", "cancelled", "ok", "ok"]
    assert peer.answer("were_together") == [2]


def test_running_call_is_cancelled(peer: Peer) -> None:
    number = peer.begun("spin", seconds=WAIT)
    peer.send(pack(Cancel(id=number)))
    message = peer.end()
    assert (message.id, message.code) == (number, "cancelled")
    assert peer.answer("double", x=4) == 8


def test_waiting_call_is_cancelled_and_the_running_one_is_not(peer: Peer) -> None:
    running, waiting = peer.call("nap", seconds=0.5), peer.call("nap", seconds=WAIT)
    last = peer.call("double", x=5)
    peer.send(pack(Cancel(id=waiting)))
    ends = [peer.end() for _ in range(3)]
    assert {end.id: getattr(end, "code", "ok") for end in ends} == {
        running: "ok",
        waiting: "cancelled",
        last: "ok",
    }


def test_cancel_of_ended_and_unknown_calls_is_ignored(peer: Peer) -> None:
    number = peer.call("double", x=1)
    peer.end()
    peer.send(pack(Cancel(id=number)), pack(Cancel(id=10**12)))
    assert peer.answer("spin", seconds=0.3) == 0.3


def test_function_that_swallows_the_interrupt_ends_as_it_likes(peer: Peer) -> None:
    number = peer.begun("stubborn")
    peer.send(pack(Cancel(id=number)))
    assert peer.end().id == number
    assert peer.answer("spin", seconds=0.3) == 0.3


def test_cancelled_generator_is_closed_before_the_next_call(peer: Peer) -> None:
    number = peer.call("count", n=10**9)
    while not isinstance(peer.next(), Item):
        pass
    peer.send(pack(Cancel(id=number)))
    assert peer.end().code == "cancelled"
    assert peer.answer("was_closed") == [10**9]


def test_heartbeat_is_answered_during_a_busy_loop(peer: Peer) -> None:
    peer.begun("spin", seconds=4)
    assert peer.connection is not None
    assert peer.connection.ping().wait(WAIT)
    assert peer.got.empty()  # the pong came before the answer
    assert isinstance(peer.end(), Result)


def test_forked_child_that_returns_does_not_answer_too(peer: Peer) -> None:
    assert peer.answer("forks") == peer.process.pid
    for number in range(50):
        assert peer.answer("double", x=number) == 2 * number
    assert peer.got.empty()


def test_large_values_pass(peer: Peer) -> None:
    assert peer.answer("double", x=10**15) == 2 * 10**15
    body = b'{"x": 3' + b" " * 20_000_000 + b"}"
    number = 10**9
    peer.send(pack(Call(id=number, service="double"), body))
    assert (peer.end().id, peer.body) == (number, b"6")


def test_random_cancels_hit_no_other_call(peer: Peer) -> None:
    """10,000 cancels: each call has one response, and the other calls get their results."""
    chance = random.Random(3)
    unwanted, recalled, ends = set(), set(), {}
    open_calls: list[int] = []
    cancels = calls = 0

    def take() -> None:
        message = peer.end()
        assert message.id not in ends
        ends[message.id] = message
        open_calls.remove(message.id)

    while cancels < 10_000:
        calls += 1
        # Most are over before anybody could look; some last until an interrupt hits.
        long = chance.random() < 0.02
        open_calls.append(peer.call("spin", seconds=chance.uniform(0.03, 0.08) if long else 0.0))
        if long:
            time.sleep(chance.choice((0.0, 0.02, 0.05)))
        for _ in range(chance.randrange(4)):
            target = chance.choice(open_calls[-3:])
            unwanted.add(target)
            cancels += 1
            peer.send(pack(Cancel(id=target)))
        if chance.random() < 0.1:
            recalled.add(open_calls[-1])
            peer.send(pack(Recall(id=open_calls[-1])))
        while len(open_calls) > chance.randrange(4):
            take()
    while open_calls:
        take()
    stopped = {number for number, end in ends.items() if isinstance(end, Failure)}
    returned = {number for number, end in ends.items() if isinstance(end, NotStarted)}
    assert stopped <= unwanted
    assert returned <= recalled
    assert all(ends[number].code == "cancelled" for number in stopped)
    assert len(ends) == calls
    # The test would mean nothing if none of them ever came in time, in line or in the function.
    assert any(ends[number].seconds > 0.02 for number in stopped)
    assert any(ends[number].seconds == 0 for number in stopped)
    assert returned
    assert peer.answer("double", x=1) == 2


def _leave(peer: Peer) -> None:
    peer.send(pack(Drain()))


def _close(peer: Peer) -> None:
    assert peer.connection is not None
    peer.connection.close()


def _cut(peer: Peer) -> None:
    assert peer.connection is not None
    peer.connection.socket.shutdown(2)


@pytest.mark.parametrize("how", [_leave, _close, _cut])
def test_idle_process_ends_with_its_server(own: Peer, how: Callable[[Peer], None]) -> None:
    how(own)
    assert own.process.wait(WAIT) == 0


def test_busy_process_ends_with_its_server(own: Peer) -> None:
    own.begun("spin", seconds=600)
    _cut(own)
    assert own.process.wait(WAIT) == 0


def test_leave_lets_the_running_call_finish(own: Peer) -> None:
    number = own.begun("spin", seconds=0.7)
    _leave(own)
    assert own.end().id == number
    assert own.process.wait(WAIT) == 0
