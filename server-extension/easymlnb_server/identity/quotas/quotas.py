"""Admit calls within their limits, and count them."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from easymlnb.contract.json_values import decode_body
from easymlnb_server.identity.access import Caller
from easymlnb_server.identity.limits import ADVICE, NO_LIMITS, Limits
from easymlnb_server.identity.quotas.meter import Meter
from easymlnb_server.identity.usage.meter import Today, UsageMeter
from easymlnb_server.identity.usage.models import VISITOR

VISITOR_KEY = "visitor "
"""Prefix of the owner key of calls by visitors without a login."""

MAX_METERS = 20_000
"""Maximum number of meters; of more, those that were not used for longest are dropped."""

Admission = tuple[Meter, ...]


class ServiceLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of a service: of all its calls, and of calls without a login."""

    all: Limits = NO_LIMITS
    visitors: Limits | None = None


class LimitRows(Protocol):
    """Stores limits of services; methods block."""

    def all(self) -> dict[str, dict[str, Any]]:
        """Return the limits by service."""

    def put(self, service: str, limits: dict[str, Any]) -> None:
        """Replace the limits of a service."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """Limits for all that have none of their own.

    ``visitors`` are those of all visitors of a service together, ``visitor`` those of one address.
    """

    key: Limits = NO_LIMITS
    user: Limits = NO_LIMITS
    service: Limits = NO_LIMITS
    visitors: Limits = NO_LIMITS
    visitor: Limits = NO_LIMITS


class Quotas:
    """The limits of keys, users, services and visitors, and the meters of their calls.

    Parameters
    ----------
    defaults
        Limits for those that have none of their own.
    usage
        Has the totals of the day, which survive a restart.
    clock
        A monotonic clock.
    """

    def __init__(
        self,
        defaults: Defaults,
        usage: UsageMeter,
        clock: Callable[[], float] = time.monotonic,
        today: Today | None = None,
    ) -> None:
        self._defaults = defaults
        self._usage = usage
        self._clock = clock
        self._today = today or Today()
        self._services: dict[str, ServiceLimits] = {}
        self._meters: dict[tuple[str, str], Meter | None] = {}
        self._found: dict[tuple[str, str, str], Admission] = {}
        """The meters by service, user and key; each is found once."""
        self._rows: LimitRows | None = None

    async def open(self, rows: LimitRows) -> None:
        """Load the limits of services; meters begin with the stored totals of the day."""
        stored = await asyncio.to_thread(rows.all)
        self._services = {name: msgspec.convert(one, ServiceLimits) for name, one in stored.items()}
        self._rows = rows
        self._meters.clear()
        self._found.clear()

    async def refresh(self) -> None:
        """Read the limits of services again after services were removed or renamed."""
        if self._rows is None:
            return
        before, stored = self._services, await asyncio.to_thread(self._rows.all)
        self._services = {name: msgspec.convert(one, ServiceLimits) for name, one in stored.items()}
        for name in before.keys() | self._services.keys():
            if before.get(name) != self._services.get(name):
                self._drop_service(name)

    def of_service(self, name: str) -> ServiceLimits:
        """Return the limits that were set for a service."""
        return self._services.get(name, ServiceLimits())

    async def set_service(self, name: str, limits: ServiceLimits) -> None:
        """Set the limits of a service, from now on."""
        rows = self._rows
        values = msgspec.to_builtins(limits)
        if not limits.all:
            values.pop("all")
        if limits.visitors is None:
            values.pop("visitors")
        if rows is not None:
            await asyncio.to_thread(rows.put, name, values)
        self._services[name] = limits
        self._drop_service(name)

    def _drop_service(self, name: str) -> None:
        for kind in ("service", "visitors"):
            self._meters.pop((kind, name), None)
        self._found.clear()

    def max_body(self, service: str, caller: Caller | None, limit: int) -> int:
        """Return the lowest of ``limit`` and the limits of bodies."""
        if caller is not None:  # on the way of every call with a key
            for meter in self._meters_of(service, caller):
                if meter.max_body < limit:
                    limit = int(meter.max_body)
            return limit
        for limits in self._limits(service, caller, VISITOR_KEY).values():
            if isinstance(limits.max_body, int):
                limit = min(limit, limits.max_body)
        return limit

    def admit(self, service: str, caller: Caller | None, owner: str, size: int) -> Admission:
        """Count a call; raises ``LimitExceeded`` or ``TooLarge``, and then counts nothing.

        Parameters
        ----------
        service, caller
            The service's name, and who calls; ``None`` for a visitor.
        owner
            The owner key of the call.
        size
            Bytes of its body.
        """
        if caller is not None:
            meters = self._meters_of(service, caller)
        else:
            meters = self._found_at(_places(service, caller, owner), service, caller)
        if not meters:
            return ()
        now, day = self._clock(), self._today()
        for meter in meters:
            if not meter.admits(now, day, size):
                error = meter.refusal(self._today.seconds_left(), size)
                if error is not None:
                    raise error
        for meter in meters:
            meter.enter()
        return meters

    def _meters_of(self, service: str, caller: Caller) -> Admission:
        """Return the meters of a user's calls; they are found once."""
        key = caller.key
        place = (service, caller.name, "" if key is None else key.id)
        found = self._found.get(place)
        if found is None:
            found = self._found_at(_places(service, caller, ""), service, caller)
            if len(self._found) >= MAX_METERS:
                self._found.clear()
            self._found[place] = found
        return found

    def _found_at(
        self, places: list[tuple[str, str]], service: str, caller: Caller | None
    ) -> Admission:
        found = [self._meter(kind, id, service, caller) for kind, id in places]
        return tuple(meter for meter in found if meter is not None)

    def limits_jobs(self, service: str, caller: Caller | None, owner: str) -> bool:
        """Return whether a limit of concurrent calls applies to a caller's jobs."""
        limits = self._limits(service, caller, owner).values()
        return any(one.concurrent is not msgspec.UNSET for one in limits)

    def check_jobs(
        self, service: str, caller: Caller | None, owner: str, unfinished: Mapping[str, int]
    ) -> None:
        """Refuse a job that ``admit`` counted if too many are unfinished.

        ``unfinished`` are the numbers of jobs by kind of meter, such as ``service`` and ``user``.
        Raises ``LimitExceeded``.
        """
        for kind, id in _places(service, caller, owner):
            meter = self._meter(kind, id, service, caller)
            error = meter.check_jobs(unfinished.get(kind, 0)) if meter is not None else None
            if error is not None:
                raise error

    def charge(self, service: str, caller: Caller | None, owner: str, seconds: float) -> None:
        """Count the seconds of a job's run, which began long after the job was admitted."""
        for place in _places(service, caller, owner):
            if (meter := self._meters.get(place)) is not None:
                meter.charge(self._today(), seconds)

    def _limits(self, service: str, caller: Caller | None, owner: str) -> Mapping[str, Limits]:
        own, defaults = self.of_service(service), self._defaults
        limits = {"service": own.all or defaults.service}
        if caller is None:
            if owner.startswith(VISITOR_KEY):
                visitors = own.visitors
                limits["visitors"] = defaults.visitors if visitors is None else visitors
                limits["visitor"] = defaults.visitor
            return limits
        limits["user"] = defaults.user
        if caller.key is not None:
            limits["key"] = caller.key.limits or defaults.key
        return limits

    def _meter(self, kind: str, id: str, service: str, caller: Caller | None) -> Meter | None:
        place = (kind, id)
        if place in self._meters:
            return self._meters[place]
        limits = self._limits(service, caller, VISITOR_KEY)[kind]
        meter = None
        if limits:
            meter = Meter(_LABELS[kind], limits, self._today())
            totals = self._totals(kind, id)
            meter.calls, meter.seconds = totals
        if len(self._meters) >= MAX_METERS:
            self._drop_old()
        self._meters[place] = meter
        return meter

    def _totals(self, kind: str, id: str) -> tuple[int, float]:
        """Return today's calls and seconds; those of one address are not stored."""
        if kind == "visitor":
            return 0, 0.0
        by = {
            "service": {"service": id},
            "visitors": {"service": id, "user": VISITOR},
            "user": {"user": id},
            "key": {"key": id},
        }
        found = self._usage.total(**by[kind])
        return found.calls, found.compute_seconds

    def _drop_old(self) -> None:
        idle = [
            place for place, meter in self._meters.items() if meter is None or not meter.running
        ]
        idle.sort(key=lambda place: self._last_used(place))
        for place in idle[: MAX_METERS // 4]:
            del self._meters[place]
        self._found.clear()

    def _last_used(self, place: tuple[str, str]) -> float:
        meter = self._meters[place]
        return meter.last_used if meter is not None else 0.0


def _places(service: str, caller: Caller | None, owner: str) -> list[tuple[str, str]]:
    """Return the kind and id of each meter that counts a call."""
    places = [("service", service)]
    if caller is None:
        if owner.startswith(VISITOR_KEY):
            places += [("visitors", service), ("visitor", owner)]
        return places
    places.append(("user", caller.name))
    if caller.key is not None:
        places.append(("key", caller.key.id))
    return places


_LABELS = {
    "service": "this service",
    "visitors": "all visitors of this service",
    "visitor": "your address",
    "user": "this user",
    "key": "this API key",
}


def parse_service_limits(data: bytes) -> ServiceLimits:
    """Decode the limits of a service; raises ``BadRequest``."""
    example = '{"all": {"calls_per_second": 10}, "visitors": {"calls_per_day": 500}}'
    advice = f"Send the limits as JSON, such as {example}. {ADVICE.removesuffix('.')}"
    return decode_body(data, ServiceLimits, advice)
