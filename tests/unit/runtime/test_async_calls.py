"""Work off the main thread of a worker: coroutines, returned calls, streams that wait."""

import time
from typing import Any

import pytest

from easymlnb.contract.worker_protocol import (
    WINDOW,
    Cancel,
    Drain,
    Failure,
    Item,
    NotStarted,
    Recall,
    Result,
    StreamAck,
    pack,
)
from support.worker_peer import WAIT, Peer

pytestmark = pytest.mark.slow


def ends(peer: Peer, many: int) -> dict[int, Any]:
    return {(end := peer.end()).id: end for _ in range(many)}


def test_coroutines_run_at_once_and_print_each_to_its_own_log(peer: Peer) -> None:
    began = time.monotonic()
    calls = {peer.call("pause_beside", seconds=0.4 + n / 100): n for n in range(10)}
    found = ends(peer, 10)
    assert time.monotonic() - began < 10 * 0.4
    assert {end.log for end in found.values()} == {
        f"naps {0.4 + n / 100}\n" for n in calls.values()
    }


def test_plain_calls_go_on_beside_coroutines_and_the_other_way_round(peer: Peer) -> None:
    slow = peer.call("pause_beside", seconds=2.0)
    assert peer.answer("double", x=2) == 4
    spins = peer.call("spin", seconds=4.0)
    quick = peer.call("pause_beside", seconds=0.0)
    assert [peer.end().id for _ in range(3)] == [quick, slow, spins]


def test_one_of_several_coroutines_is_cancelled(peer: Peer) -> None:
    stays, goes = peer.call("pause_beside", seconds=0.5), peer.begun("pause_beside", seconds=WAIT)
    for _ in range(3):
        peer.send(pack(Cancel(id=goes)))
    found = ends(peer, 2)
    assert isinstance(found[stays], Result)
    assert (found[goes].code, found[goes].log) == ("cancelled", f"naps {WAIT}\nstopped\n")


def test_coroutine_that_is_cancelled_as_it_comes(peer: Peer) -> None:
    calls = []
    for _ in range(200):
        number, frame = peer.frame("pause_beside", seconds=WAIT)
        calls.append(number)
        peer.send(frame, pack(Cancel(id=number)))
    found = ends(peer, 200)
    assert set(found) == set(calls)
    assert {end.code for end in found.values()} == {"cancelled"}


def test_bad_input_of_a_coroutine(peer: Peer) -> None:
    assert peer.answer("pause_beside", seconds="no") == "invalid_input"


def test_leave_waits_for_coroutines() -> None:
    own = Peer()
    try:
        number = own.begun("pause_beside", seconds=0.5)
        own.send(pack(Drain()))
        assert own.end().id == number
        assert own.process.wait(WAIT) == 0
    finally:
        own.close()


def test_recalled_calls_are_given_back_unless_they_have_begun(peer: Peer) -> None:
    running = peer.begun("spin", seconds=1.2)
    waiting = [peer.call("spin", seconds=0.1) for _ in range(3)]
    peer.send(*(pack(Recall(id=number)) for number in (running, *waiting[1:], 10**12)))
    found = ends(peer, 4)
    assert [type(found[number]) for number in (running, *waiting)] == [
        Result, Result, NotStarted, NotStarted,
    ]  # fmt: skip


@pytest.mark.parametrize("service", ["pieces", "count_beside"])
def test_stream_waits_for_its_reader(peer: Peer, service: str) -> None:
    size, many = 10_000, 200
    number = peer.call(service, n=many, size=size)
    whole = size + 2  # with the quotes
    at_once = -(-WINDOW // whole)
    for begin in range(0, many, at_once):
        taken = min(at_once, many - begin)
        for _ in range(taken):
            assert isinstance(peer.next(), Item)
        time.sleep(0.2)
        assert peer.got.empty() or begin + taken == many
        peer.send(pack(StreamAck(id=number, size=taken * whole)))
    assert isinstance(peer.end(), Result)


@pytest.mark.parametrize("service", ["pieces", "count_beside"])
def test_stream_whose_reader_reads_nothing_can_be_cancelled(peer: Peer, service: str) -> None:
    number = peer.call(service, n=10**6, size=10_000)
    time.sleep(0.5)
    assert peer.got.qsize() * 10_000 < 2 * WINDOW
    peer.send(pack(Cancel(id=number)))
    end = peer.end()
    assert isinstance(end, Failure)
    assert (end.id, end.code) == (number, "cancelled")
    assert peer.answer("double", x=3) == 6


def test_items_larger_than_the_window_pass_one_by_one(peer: Peer) -> None:
    number = peer.call("pieces", n=3, size=2 * WINDOW)
    for left in (2, 1, 0):
        assert isinstance(peer.next(), Item)
        time.sleep(0.1)
        assert peer.got.empty() or not left
        peer.send(pack(StreamAck(id=number, size=2 * WINDOW + 2)))
    assert isinstance(peer.end(), Result)


def test_other_coroutines_go_on_while_a_stream_waits(peer: Peer) -> None:
    stuck = peer.call("count_beside", n=10**6, size=10_000)
    time.sleep(0.3)
    while not peer.got.empty():
        assert isinstance(peer.next(), Item)
    assert peer.answer("pause_beside", seconds=0.0) == "0"
    peer.send(pack(Cancel(id=stuck)))
    assert peer.end().code == "cancelled"
