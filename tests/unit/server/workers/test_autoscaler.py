"""How many workers there should be: rules one by one, then a simulated service under traffic."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import pytest

from easymlnb.contract.resources import WorkerResources
from easymlnb.contract.spec import Batch
from easymlnb_server.workers.autoscaler import Autoscaler, Load, ScalingLimits
from support.fakes import spec

TICK = 0.5


def told(scaler: Autoscaler, seconds: float, calls: int, ready: int | None = None) -> list[int]:
    """Show a scaler the same load for so long; returns what it says, without repetitions.

    Workers are ready as soon as they are wanted, unless ``ready`` says how many are.
    """
    said: list[int] = []
    start = scaler._loads[-1].now + TICK if scaler._loads else 0.0
    for number in range(int(seconds / TICK)):
        there = scaler.wanted if ready is None else ready
        wanted = scaler.decide(Load(start + number * TICK, calls, there))
        if said[-1:] != [wanted]:
            said.append(wanted)
    return said


def test_fixed_number_stays() -> None:
    scaler = Autoscaler(ScalingLimits(min_workers=3, max_workers=3))
    assert told(scaler, 200, 0) == [3]
    assert told(scaler, 200, 100) == [3]


def test_grows_with_the_calls_and_shrinks_later() -> None:
    scaler = Autoscaler(
        ScalingLimits(
            min_workers=1, max_workers=8, target_calls=2, scale_up_window=2, scale_down_window=60
        )
    )
    assert told(scaler, 10, 2) == [1]
    assert told(scaler, 10, 8)[-1] == 4
    assert told(scaler, 59, 2) == [4]
    assert told(scaler, 10, 2)[-1] == 1


def test_never_leaves_its_bounds() -> None:
    scaler = Autoscaler(ScalingLimits(min_workers=2, max_workers=5))
    assert min(told(scaler, 100, 0)) == 2
    assert max(told(scaler, 100, 10_000)) == 5


def test_peak_shorter_than_the_delay_up_is_averaged() -> None:
    scaler = Autoscaler(
        ScalingLimits(min_workers=1, max_workers=8, target_calls=2, scale_up_window=10)
    )
    told(scaler, 20, 0)
    assert told(scaler, TICK, 20) == [1]
    assert told(scaler, 20, 0) == [1]


def test_does_not_grow_on_while_ordered_workers_are_starting() -> None:
    scaler = Autoscaler(
        ScalingLimits(min_workers=1, max_workers=8, target_calls=2, scale_up_window=2)
    )
    told(scaler, 5, 4, ready=1)
    assert scaler.wanted == 2
    assert told(scaler, 60, 64, ready=1) == [2]
    # Twice as many at a time.
    assert told(scaler, 5, 64, ready=2) == [4]
    assert told(scaler, 5, 64, ready=4) == [8]


def test_sleeps_after_its_time_and_wakes_at_once() -> None:
    scaler = Autoscaler(ScalingLimits(min_workers=0, max_workers=4, idle_timeout=600), 1)
    assert told(scaler, 599, 0) == [1]
    assert told(scaler, 10, 0)[-1] == 0
    assert told(scaler, 10_000, 0) == [0]
    assert told(scaler, TICK, 1, ready=0) == [1]


def test_sleeping_service_does_not_wake_by_itself() -> None:
    assert told(Autoscaler(ScalingLimits(min_workers=0, max_workers=4)), 100, 0) == [0]


def test_stays_awake_while_a_call_is_out_however_long() -> None:
    scaler = Autoscaler(ScalingLimits(min_workers=0, max_workers=4, idle_timeout=10), 1)
    assert told(scaler, 3600, 1) == [1]


def test_failing_start_goes_back_to_sleep() -> None:
    scaler = Autoscaler(ScalingLimits(min_workers=0, max_workers=4, idle_timeout=10))
    assert told(scaler, 5, 1, ready=0) == [1]
    assert told(scaler, 30, 0, ready=0)[-1] == 0


def test_widest_bounds_of_all_services_count() -> None:
    fixed = spec("a", workers=2)
    wide = spec("b", workers=5, resources=WorkerResources(min_workers=0, target_calls=4, idle=30))
    assert ScalingLimits.from_specs([fixed]) == ScalingLimits(min_workers=2, max_workers=2)
    assert ScalingLimits.from_specs([fixed, wide]) == ScalingLimits(
        min_workers=2, max_workers=5, target_calls=1, idle_timeout=600
    )
    batched = spec(
        "c", batch=Batch(max_size=16), resources=WorkerResources(min_workers=0), workers=2
    )
    assert ScalingLimits.from_specs([batched]).target_calls == 16


@dataclass
class Service:
    """A simulated service: calls of fixed work, workers that take a while to start."""

    limits: ScalingLimits
    work: float = 0.2
    start: float = 5.0
    rng: Random = field(default_factory=lambda: Random(7))
    now: float = 0.0
    line: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    ready: int = 0
    starting: list[float] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)
    wanted: list[tuple[float, int]] = field(default_factory=list)
    owed: float = 0.0

    def run(self, seconds: float, rate: Callable[[float], float]) -> "Service":
        """Advance the clock in small steps at a given rate of calls; return the decision."""
        scaler = Autoscaler(self.limits)
        step = 0.05
        while self.now < seconds:
            self.now += step
            self.owed += self.rng.expovariate(1) * rate(self.now) * step
            while self.owed >= 1:
                self.owed -= 1
                self.line.append(self.now)
            self.busy = [end for end in self.busy if end > self.now]
            self.ready += sum(end <= self.now for end in self.starting)
            self.starting = [end for end in self.starting if end > self.now]
            while self.line and len(self.busy) < self.ready:
                came = self.line.pop(0)
                self.waits.append((came, self.now - came))
                self.busy.append(self.now + self.work)
            if round(self.now / step) % round(TICK / step) == 0:
                self._adjust(scaler)
        return self

    def _adjust(self, scaler: Autoscaler) -> None:
        load = Load(self.now, len(self.line) + len(self.busy), self.ready)
        wanted = scaler.decide(load)
        self.wanted.append((self.now, wanted))
        there = self.ready + len(self.starting)
        self.starting += [self.now + self.start] * (wanted - there)
        surplus = max(0, there - wanted)
        dropped = min(surplus, len(self.starting))
        del self.starting[len(self.starting) - dropped :]
        self.ready -= surplus - dropped

    def between(self, begin: float, end: float) -> list[int]:
        return [wanted for now, wanted in self.wanted if begin <= now < end]

    def changes(self) -> int:
        said = [wanted for _, wanted in self.wanted]
        return sum(a != b for a, b in pairwise(said))

    def worst(self, begin: float, end: float) -> float:
        return max(wait for came, wait in self.waits if begin <= came < end)


WIDE = ScalingLimits(min_workers=1, max_workers=10)


def test_steady_traffic_keeps_a_steady_number() -> None:
    # 10 calls/s of 0.2 s keep two workers busy on average; some more are there for the hitches.
    service = Service(WIDE).run(1200, lambda now: 10)
    settled = service.between(300, 1200)
    assert min(settled) >= 2
    assert max(settled) <= 6
    assert service.changes() < 25
    assert service.worst(300, 1200) < 1


def test_burst_is_served_and_let_go_again() -> None:
    service = Service(WIDE).run(600, lambda now: 30 if 100 <= now < 160 else 1)
    assert max(service.between(50, 100)) <= 2
    assert max(service.between(100, 160)) >= 6
    assert max(service.between(300, 600)) <= 2
    assert not service.line


def test_ramp_is_followed_up_and_down() -> None:
    service = Service(WIDE).run(1800, lambda now: 30 - abs(now - 900) / 30)
    middle = service.between(850, 950)
    assert min(middle) >= 6
    assert max(service.between(0, 100)) <= 3
    assert max(service.between(1770, 1800)) <= 4
    assert service.worst(100, 1700) < 10


def test_flapping_traffic_does_not_flap_the_workers() -> None:
    service = Service(WIDE).run(1200, lambda now: 20 if now % 20 < 10 else 0)
    # Without the delay, each of the sixty pauses would end workers that are needed again.
    assert service.changes() < 60
    assert min(service.between(60, 1200)) >= 4


def test_slow_starts_do_not_order_workers_for_what_only_waits() -> None:
    service = Service(ScalingLimits(min_workers=1, max_workers=100), start=60).run(
        900, lambda now: 10
    )
    # Meanwhile hundreds of calls are in line; two workers are enough in the long run.
    assert max(wanted for _, wanted in service.wanted) <= 16
    assert max(service.between(400, 900)) <= 6
    assert service.worst(400, 900) < 1


@pytest.mark.slow
def test_sleeping_service_serves_whoever_wakes_it() -> None:
    limits = ScalingLimits(min_workers=0, max_workers=4, idle_timeout=60)
    # One call every ten minutes, on average.
    service = Service(limits, start=8).run(3600 * 3, lambda now: 1 / 600)
    assert service.waits
    assert max(wait for _, wait in service.waits) <= 8 + 2 * TICK
    asleep = [wanted for _, wanted in service.wanted if wanted == 0]
    assert len(asleep) > len(service.wanted) / 2
