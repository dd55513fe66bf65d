"""Limits of calls: what is refused, and until when."""

import asyncio
from typing import Any

import pytest

from easymlnb.contract.errors import BadRequest, Busy, EasyMLNBError, LimitExceeded, TooLarge
from easymlnb_server.http.rate_limits import rate_limit_headers
from easymlnb_server.identity.access import Caller
from easymlnb_server.identity.grants import KeyGrant
from easymlnb_server.identity.limits import Limits, to_limits
from easymlnb_server.identity.quotas.quotas import Defaults, Quotas, parse_service_limits
from easymlnb_server.identity.usage.meter import Today, UsageMeter
from easymlnb_server.identity.usage.models import Key, Totals

KEY = KeyGrant("key_1", frozenset(["*"]), frozenset())


class World:
    def __init__(self, key: Limits | None = None, **defaults: Limits) -> None:
        self.now = 0.0
        self.usage = UsageMeter(today=(today := Today(lambda: self.now)))
        self.quotas = Quotas(Defaults(**defaults), self.usage, lambda: self.now, today)
        grant = KeyGrant("key_1", KEY.services, KEY.scopes, key) if key is not None else KEY
        self.holder = Caller("ann", key=grant)

    def admit(self, caller: Caller | None = None, owner: str = "", size: int = 0) -> Any:
        return self.quotas.admit("roll", caller or self.holder, owner, size)

    def refused(self, *args: Any, **more: Any) -> tuple[str, int]:
        with pytest.raises(LimitExceeded) as found:
            self.admit(*args, **more)
        return found.value.details["limit"], found.value.details["retry_after"]


def test_without_limits_nothing_is_counted() -> None:
    assert World().admit() == ()


def test_rate_refills_with_time() -> None:
    world = World(Limits(calls_per_second=2))
    for _ in range(2):
        world.admit()
    assert world.refused() == ("calls_per_second", 1)
    world.now = 0.5
    world.admit()
    assert world.refused() == ("calls_per_second", 1)
    world.now = 1000.0
    for _ in range(2):
        world.admit()
    assert world.refused() == ("calls_per_second", 1)
    slow = World(Limits(calls_per_second=0.1))
    slow.admit()
    assert slow.refused() == ("calls_per_second", 10)


def test_days_compute_and_concurrency() -> None:
    world = World(Limits(calls_per_day=2, concurrent=1, compute_seconds_per_day=10))
    (meter,) = world.admit()
    assert world.refused() == ("concurrent", 1)
    meter.leave(3.0)
    (meter,) = world.admit()
    meter.refund()  # the queue was full
    (meter,) = world.admit()
    meter.leave(1.0)
    world.now = 80_000.0
    assert world.refused() == ("calls_per_day", 6400)
    world.now = 86_400.0
    world.admit()[0].leave(10.0)
    assert world.refused() == ("compute_seconds_per_day", 86_400)


def test_a_refusal_counts_nowhere() -> None:
    world = World(Limits(calls_per_second=100), service=Limits(calls_per_day=1))
    service, key = world.admit()
    assert world.refused() == ("calls_per_day", 86_400)
    assert (service.running, key.running, key.calls) == (1, 1, 1)


def test_visitors_share_limits_and_pages_have_none() -> None:
    world = World(visitors=Limits(concurrent=2), visitor=Limits(calls_per_day=1, max_body=5))
    quotas = world.quotas
    quotas.admit("roll", None, "visitor 10.0.0.1", 1)
    with pytest.raises(LimitExceeded, match="your address"):
        quotas.admit("roll", None, "visitor 10.0.0.1", 1)
    with pytest.raises(TooLarge, match="5 bytes"):
        quotas.admit("roll", None, "visitor 10.0.0.2", 6)
    quotas.admit("roll", None, "visitor 10.0.0.2", 1)
    with pytest.raises(LimitExceeded, match="all visitors"):
        quotas.admit("roll", None, "visitor 10.0.0.3", 1)
    assert quotas.admit("roll", None, "pass 1", 100) == ()
    assert quotas.max_body("roll", None, 1000) == 5


class Rows:
    def __init__(self) -> None:
        self.totals: dict[Key, Totals] = {}

    def put(self, totals: Any) -> None:
        self.totals |= dict(totals)

    def read(self, *, since: str, until: str, service: str = "", key: str = "") -> Any:
        return [*self.totals.items()]

    def forget(self, *, before: str) -> None:
        self.totals = {key: one for key, one in self.totals.items() if key[0] >= before}


def test_totals_of_the_day_survive_a_restart() -> None:
    async def run() -> None:
        rows = Rows()
        first = World()
        await first.usage.open(rows)
        for _ in range(3):
            first.usage.add(
                "roll", "1", "ann", "key_1", failed=False, seconds=2.0, gpus=0.5, bytes_in=1,
                bytes_out=2,
            )  # fmt: skip
        await first.usage.flush()
        await first.usage.flush()
        second = World(Limits(calls_per_day=4))
        await second.usage.open(rows)
        (stored,) = rows.totals.values()
        assert (stored.calls, stored.compute_seconds, stored.gpu_seconds) == (3, 6.0, 3.0)
        second.admit()
        assert second.refused()[0] == "calls_per_day"
        assert second.usage.total(user="ann").calls == 3
        assert second.usage.total(user="bob").calls == 0
        second.now = 500 * 86_400.0
        await second.usage.flush()
        assert rows.totals == {} and second.usage.total(user="ann").calls == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    "value",
    [
        {"concurrent": 0}, {"concurrent": 1.5}, {"calls_per_day": -1}, {"calls_per_second": 0},
        {"calls_per_second": "many"}, {"max_body": True}, {"nosuch": 1}, [], 1, None,
    ],
)  # fmt: skip
def test_invalid_limits_are_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="Invalid limits"):
        to_limits(value)


@pytest.mark.parametrize("data", [b"", b"{", b'{"all": {"concurrent": 0}}', b'{"any": {}}', b"[]"])
def test_invalid_limits_of_a_service_are_refused(data: bytes) -> None:
    with pytest.raises(BadRequest, match="Send the limits"):
        parse_service_limits(data)


@pytest.mark.parametrize(
    ("limit", "value", "policy"),
    [
        ("calls_per_second", 2.5, "q=5;w=2"),
        ("calls_per_second", 10, "q=10;w=1"),
        ("calls_per_day", 500, "q=500;w=86400"),
        ("concurrent", 3, 'q=3;qu="concurrent-requests"'),
        ("compute_seconds_per_day", 60.5, 'q=60;w=86400;qu="compute-seconds"'),
    ],
)
def test_rate_limit_fields(limit: str, value: float, policy: str) -> None:
    found = rate_limit_headers(LimitExceeded("this key", limit, value, 7))
    assert found == {"RateLimit-Policy": f'"{limit}";{policy}', "RateLimit": f'"{limit}";r=0;t=7'}
    other: EasyMLNBError = Busy(1, 1)
    assert rate_limit_headers(other) == {}


@pytest.mark.parametrize(
    "wrong", [{"limit": "a\r\nb: c"}, {"value": float("nan")}, {"retry_after": "1\r\nb: c"}]
)
def test_no_rate_limit_fields_for_what_a_worker_sends(wrong: dict[str, Any]) -> None:
    error = LimitExceeded("this key", "concurrent", 3, 7)
    error.details = {**error.details, **wrong}
    assert rate_limit_headers(error) == {}
