"""Run promotions: observe both versions, and move traffic forward or back."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from easymlnb.contract.errors import (
    EasyMLNBError,
    PromotionConflict,
    ServiceNotFound,
    TrafficChanged,
)
from easymlnb_server.identity.audit.log import AuditLog
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.publishing.traffic import TrafficManager
from easymlnb_server.services.models import PublishedService
from easymlnb_server.store.records import ServiceRecord
from easymlnb_server.traffic import rules
from easymlnb_server.traffic.models import Traffic
from easymlnb_server.traffic.promotions import (
    Decision,
    Promotion,
    PromotionRequest,
    PromotionState,
    Sample,
    decide,
    event_details,
    step_seconds,
)

CHECK_SECONDS = 1.0
"""Seconds between two looks at the numbers."""

log = logging.getLogger("easymlnb.promotions")

Measure = Callable[[str, int], Awaitable[Sample]]
"""Returns the numbers of a version since the server started."""


class Promotions:
    """The active promotions of this server, and what changes them.

    A step is stored in the same transaction as the traffic that it sets, so a promotion continues
    where it was after a restart. A promotion ends when somebody else changes the traffic.
    """

    def __init__(
        self,
        publisher: Publisher,
        traffic: TrafficManager,
        measure: Measure,
        audit: AuditLog,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._publisher = publisher
        self._traffic = traffic
        self._measure = measure
        self._audit = audit
        self._clock = clock
        self._active: dict[str, Promotion] = {}
        self._before: dict[str, tuple[Sample, Sample]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def active(self, name: str) -> Promotion | None:
        """Return the promotion that changes the traffic of a service."""
        return next((one for one in self._active.values() if one.service == name), None)

    async def start(
        self, name: str, request: PromotionRequest, *, force: bool = False
    ) -> Promotion:
        """Start a promotion with its first step.

        Raises ``PromotionConflict``, ``VersionNotFound``, ``BreakingVersion`` without
        ``force``, or ``DeploymentFailed`` if the version does not start.
        """
        service = self._traffic.find(name)
        version, now = service.find(str(request.version)), self._clock()
        base = _base(service.traffic.traffic, version)
        promotion = Promotion(
            id=uuid.uuid4().hex,
            service=name,
            version=version,
            base=base,
            steps=tuple(request.steps),
            every=step_seconds(request),
            abort_if=request.abort_if,
            step_began=now,
            created=now,
        )
        if (other := self.active(name)) is not None:
            raise PromotionConflict(
                f"Version {other.version} is being promoted (promotion {other.id}). Wait until "
                "that ends, or cancel it.",
                details={"promotion": other.id},
            )
        self._before[promotion.id] = await self._samples(promotion)
        return await self._move(promotion, service.traffic.revision, force=force)

    async def listed(self, name: str) -> list[Promotion]:
        """Return the latest promotions of a service, newest first."""
        rows = self._publisher.store.promotions
        stored = await asyncio.to_thread(rows.of_service, name)
        return [self._active.get(one.id, one) for one in stored]

    async def get(self, name: str, id: str) -> Promotion:
        """Return a promotion; raises ``PromotionNotFound``."""
        stored = await asyncio.to_thread(self._publisher.store.promotions.get, name, id)
        return self._active.get(id, stored)

    async def pause(self, name: str, id: str, *, paused: bool = True) -> Promotion:
        """Stay at the present step, or continue with its whole duration.

        Raises ``PromotionConflict`` if the promotion has ended.
        """
        async with self._lock(id):
            promotion = self._running(await self.get(name, id))
            state = PromotionState.PAUSED if paused else PromotionState.RUNNING
            return await self._put(
                replace(promotion, state=state, step_began=self._clock(), reason="")
            )

    async def cancel(self, name: str, id: str) -> Promotion:
        """End a promotion, and give all calls to the version that served before."""
        async with self._lock(id):
            promotion = self._running(await self.get(name, id))
            return await self._back(promotion, PromotionState.CANCELED, "It was canceled.")

    async def end_replaced(self, name: str) -> None:
        """End the promotion of a service if the traffic was changed in another way.

        ``run`` does the same a moment later; who changes the traffic sees the result at once.
        """
        if (found := self.active(name)) is None:
            return
        async with self._lock(found.id):
            if (promotion := self._active.get(found.id)) is not None:
                await self._end_if_replaced(promotion, self._traffic.find(name))

    async def run(self) -> None:
        """Advance the promotions, until it is canceled."""
        rows = self._publisher.store.promotions
        self._active = {one.id: one for one in await asyncio.to_thread(rows.active)}
        while True:
            for promotion in list(self._active.values()):
                async with self._lock(promotion.id):
                    if promotion.id in self._active:
                        await self._check(self._active[promotion.id])
            await asyncio.sleep(CHECK_SECONDS)

    async def _check(self, promotion: Promotion) -> None:
        """Do what one promotion needs now."""
        try:
            service = self._traffic.find(promotion.service)
        except ServiceNotFound:  # removed, or transferred to another owner
            await self._reload(promotion)
            return
        if await self._end_if_replaced(promotion, service):
            return
        now = await self._samples(promotion)
        before = self._before.setdefault(promotion.id, now)
        candidate, serving = now[0].since(before[0]), now[1].since(before[1])
        decision, reason = decide(promotion, self._clock(), candidate, serving)
        promotion = replace(promotion, candidate=candidate, serving=serving, reason=reason)
        self._active[promotion.id] = promotion
        try:
            await self._act(promotion, decision, reason)
        except TrafficChanged:
            return  # the next check ends the promotion
        except EasyMLNBError as error:
            log.warning("Promotion %s cannot continue: %s", promotion.id, error)
            self._active[promotion.id] = replace(promotion, reason=error.message)

    async def _end_if_replaced(self, promotion: Promotion, service: PublishedService) -> bool:
        """End a promotion whose step is no longer the traffic of its service."""
        if service.traffic.revision == promotion.revision:
            return False
        reason = "The traffic was changed in another way."
        ended = replace(promotion, state=PromotionState.CANCELED, reason=reason)
        await self._record("promotion.cancel", await self._put(ended))
        return True

    async def _act(self, promotion: Promotion, decision: Decision, reason: str) -> None:
        if decision is Decision.ABORT:
            log.warning("Promotion %s goes back: %s", promotion.id, reason)
            ended = await self._back(promotion, PromotionState.ABORTED, reason)
            await self._record("promotion.abort", ended)
        elif decision is Decision.FINISH:
            ended = await self._put(replace(promotion, state=PromotionState.DONE))
            await self._record("promotion.finish", ended)
        elif decision is Decision.ADVANCE:
            following = replace(promotion, step=promotion.step + 1, step_began=self._clock())
            moved = await self._move(following, promotion.revision, force=True)
            await self._record("promotion.advance", moved)

    async def _record(self, action: str, promotion: Promotion) -> None:
        """Record a step that the server took."""
        name, owner = promotion.service, ""
        with contextlib.suppress(EasyMLNBError):  # removed meanwhile
            owner = self._traffic.find(name).owner
        await self._audit.record(action, name, owner=owner, details=event_details(promotion))

    async def _back(self, promotion: Promotion, state: PromotionState, reason: str) -> Promotion:
        ended = replace(promotion, state=state, reason=reason, changed=self._clock())

        def back(record: ServiceRecord) -> Traffic:
            return rules.switched(record.traffic, promotion.base)

        service = await self._traffic.change(
            promotion.service, back, revision=promotion.revision, force=True, promotion=ended
        )
        return self._keep(replace(ended, revision=service.traffic.revision))

    async def _move(self, promotion: Promotion, revision: int, *, force: bool) -> Promotion:
        """Set the traffic of the promotion's step."""
        promotion = replace(promotion, changed=self._clock())

        def step(record: ServiceRecord) -> Traffic:
            base, version = promotion.base, promotion.version
            return rules.divided(record.traffic, base, version, promotion.percent)

        service = await self._traffic.change(
            promotion.service, step, revision=revision, force=force, promotion=promotion
        )
        return self._keep(replace(promotion, revision=service.traffic.revision))

    async def _put(self, promotion: Promotion) -> Promotion:
        promotion = replace(promotion, changed=self._clock())
        await asyncio.to_thread(self._publisher.store.promotions.put, promotion)
        return self._keep(promotion)

    def _keep(self, promotion: Promotion) -> Promotion:
        if promotion.state.active:
            self._active[promotion.id] = promotion
        else:
            for known in (self._active, self._before, self._locks):
                known.pop(promotion.id, None)
        return promotion

    async def _reload(self, promotion: Promotion) -> None:
        rows = self._publisher.store.promotions
        self._active.pop(promotion.id, None)
        for one in await asyncio.to_thread(rows.active):
            if one.id == promotion.id and one.service != promotion.service:
                self._active[one.id] = one

    async def _samples(self, promotion: Promotion) -> tuple[Sample, Sample]:
        name = promotion.service
        candidate = await self._measure(name, promotion.version)
        return candidate, await self._measure(name, promotion.base)

    def _lock(self, id: str) -> asyncio.Lock:
        return self._locks.setdefault(id, asyncio.Lock())

    def _running(self, promotion: Promotion) -> Promotion:
        if not promotion.state.active:
            raise PromotionConflict(
                f"This promotion has ended: it is {promotion.state.value}. Start another one.",
                details={"state": promotion.state.value},
            )
        return promotion


def _base(traffic: Traffic, version: int) -> int:
    """Return the version that serves besides the candidate; raises ``PromotionConflict``."""
    others = [number for number in traffic.weights if number != version]
    if len(others) != 1:
        state = "already answers all calls" if not others else "cannot be promoted"
        listed = ", ".join(map(str, sorted(traffic.weights)))
        raise PromotionConflict(
            f"Version {version} {state}: the traffic goes to {listed}. A promotion moves traffic "
            "from one version to another."
        )
    return others[0]
