"""The fair queue: services take turns, interactive calls go first, and no call starves."""

import asyncio
import random
from collections.abc import Iterator

from easymlnb.contract.worker_protocol import Call
from easymlnb_server.dispatch.call import CallHandle
from easymlnb_server.dispatch.fair_queue import MAX_INTERACTIVE_STREAK, FairQueue
from support.fakes import spec


def call(service: str, *, low_priority: bool = False) -> CallHandle:
    loop = asyncio.get_running_loop()
    return CallHandle(
        Call(id=0, service=service), b"", loop, spec=spec(service), low_priority=low_priority
    )


def one(line: Iterator[CallHandle]) -> int:
    next(line)
    return 1


def drain(lines: FairQueue) -> list[CallHandle]:
    return [found[0] for _ in range(len(lines)) if (found := lines.pop(one))]


async def test_services_take_turns_whatever_their_lines() -> None:
    lines = FairQueue()
    flood = [call("flood") for _ in range(6)]
    others = [call("a"), call("b"), call("a")]
    for pending in (*flood, *others):
        lines.add(pending)
    a1, b, a2 = others
    assert drain(lines) == [flood[0], a1, b, flood[1], a2, *flood[2:]]
    assert (len(lines), lines.services()) == (0, set())


async def test_patient_calls_stand_behind_and_have_their_turn() -> None:
    lines = FairQueue()
    patient = [call("f", low_priority=True) for _ in range(2)]
    urgent = [call("f") for _ in range(2 * MAX_INTERACTIVE_STREAK + 1)]
    for pending in (*patient, *urgent):
        lines.add(pending)
    assert drain(lines) == [
        *urgent[:MAX_INTERACTIVE_STREAK], patient[0],
        *urgent[MAX_INTERACTIVE_STREAK : 2 * MAX_INTERACTIVE_STREAK], patient[1],
        urgent[-1],
    ]  # fmt: skip


async def test_patient_calls_wait_for_interactive_ones_of_other_services_too() -> None:
    lines = FairQueue()
    patient, urgent = call("a", low_priority=True), call("b")
    lines.add(patient)
    lines.add(urgent)
    assert drain(lines) == [urgent, patient]


async def test_a_batch_is_filled_up_with_those_that_have_time() -> None:
    lines = FairQueue()
    pendings = [call("f", low_priority=True), call("f"), call("g"), call("f")]
    for pending in pendings:
        lines.add(pending)
    assert list(lines.calls_of("f")) == [pendings[1], pendings[3], pendings[0]]
    assert lines.pop(lambda line: len(list(line))) == [pendings[1], pendings[3], pendings[0]]
    assert lines.pop(lambda line: len(list(line))) == [pendings[2]]


async def test_services_that_may_not_go_are_passed_over() -> None:
    lines = FairQueue()
    stays, goes = call("a"), call("b")
    lines.add(stays)
    lines.add(goes)

    def not_a(line: Iterator[CallHandle]) -> int:
        return int(next(line).call.service != "a")

    assert lines.pop(not_a) == [goes]
    assert lines.pop(not_a) == []
    assert list(lines.calls_of("a")) == [stays]


async def test_first_in_line_again() -> None:
    lines = FairQueue()
    pendings = [call("f") for _ in range(3)]
    for pending in pendings[1:]:
        lines.add(pending)
    lines.add(pendings[0], front=True)
    assert drain(lines) == pendings


async def test_any_order_of_steps_loses_and_doubles_nothing() -> None:
    chance = random.Random(5)
    lines = FairQueue()
    inside: list[CallHandle] = []
    gone = 0
    for _ in range(5000):
        step = chance.random()
        if step < 0.5:
            made = call(chance.choice("abc"), low_priority=chance.random() < 0.5)
            inside.append(made)
            lines.add(made, front=chance.random() < 0.1)
        elif step < 0.6 and inside:
            leaves = inside.pop(chance.randrange(len(inside)))
            assert lines.remove(leaves)
            assert not lines.remove(leaves)
        else:
            many = chance.randrange(1, 4)
            found = lines.pop(lambda line, many=many: min(many, len(list(line))))
            assert len({pending.call.service for pending in found}) <= 1
            for pending in found:
                inside.remove(pending)
            gone += len(found)
        assert len(lines) == len(inside)
        for name in "abc":
            assert lines.count(name) == sum(p.call.service == name for p in inside)
    assert gone > 500
    assert set(lines.clear()) == set(inside)
    assert len(lines) == 0
