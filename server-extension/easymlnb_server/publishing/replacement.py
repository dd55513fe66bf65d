"""Start a version that may need the previous one's capacity."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain

from easymlnb.contract.replacing import IN_PLACE, WAIT
from easymlnb.contract.resources import PREFER, Gpu
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.placement.base import LimitReached, Placement, SlotsTaken
from easymlnb_server.services.models import PublishedService
from easymlnb_server.workers.deployment import Deployment
from easymlnb_server.workers.worker_set import Worker

QUEUE_PATIENCE = 15.0
"""Seconds that a scheduler may have no room until the former version makes some."""

LOOK_EVERY = 0.2

MADE_ROOM = (
    "There is not enough capacity for both versions, so workers of the previous version are "
    "ended. Calls without a worker wait until the new version is ready."
)

ALL = 1_000_000
"""More workers than a version ever has."""

Launched = tuple[Worker, tuple[ServiceSpec, ...]]


class Replacement:
    """The start of one version.

    ``formers`` are the deployments that should end once it serves, ``others`` returns those that
    may wait for the same room. ``how`` returns one of ``contract.replacing.CHOICES``, which may
    change. ``lent`` are the formers that make room, or have; ``give_back`` starts their workers
    again.
    """

    def __init__(
        self,
        deployment: Deployment,
        formers: Sequence[Deployment],
        others: Callable[[], Iterable[Deployment]],
        how: Callable[[], str],
    ) -> None:
        self.lent: list[Deployment] = []
        self._deployment = deployment
        self._formers = formers
        self._others = others
        self._how = how

    async def launch(self, names: tuple[str, ...]) -> Launched:
        """Start the version's first worker; raises what ``Deployment.launch`` does."""
        while True:
            if self._how() == IN_PLACE:
                for former in self._formers:
                    await self._lend(former, ALL)
            try:
                found = await self._attempt(names)
            except (SlotsTaken, LimitReached):
                if self._lender() is None:
                    raise
                found = None
            if found is not None:
                return found
            if (lender := self._lender()) is not None:
                await self._lend(lender, 1)

    @property
    def waits_for(self) -> str:
        """Return in sentences what the start waits for, and what it did to the former version."""
        room = MADE_ROOM if self.lent else ""
        return f"{room} {self._deployment.starter.reason}".strip()

    def end(self, serving: Collection[Deployment]) -> None:
        """The version serves: have it answer the calls that wait where no worker is ready.

        One that is still ``serving``, as the notebook turned out not to replace it, starts again.
        Those that had no traffic before keep their calls, which ask for their versions.
        """
        for former in self._formers:
            if former not in serving:
                if former in self.lent or former.demand.serving:
                    former.hand_over(self._deployment)
            elif former in self.lent:
                former.take_back()

    def give_back(self) -> bool:
        """Have the formers start their workers again; says whether any had made room."""
        for former in self.lent:
            former.take_back()
        return bool(self.lent)

    async def _attempt(self, names: tuple[str, ...]) -> Launched | None:
        """Return the first worker; ``None`` when it waits for room that a former one may make."""
        start = asyncio.ensure_future(self._deployment.launch(names))
        try:
            while not start.done() and not self._should_lend():
                await asyncio.wait({start}, timeout=LOOK_EVERY)
        finally:
            start.cancel()
            await asyncio.wait({start})
        return None if start.cancelled() else start.result()

    def _should_lend(self) -> bool:
        if self._how() == IN_PLACE and any(one not in self.lent for one in self._formers):
            return True
        waits = (
            self._deployment.starter.waiting_for_capacity
            or self._deployment.starter.queued_seconds > QUEUE_PATIENCE
        )
        return waits and self._lender() is not None

    def _lender(self) -> Deployment | None:
        """Return a former version whose workers are all that keeps this one from starting."""
        placement = self._deployment.starter.placement
        if self._how() == WAIT or placement is None:
            return None
        for other in self._others():
            if other.starter.waiting_for_capacity and other.starter.placement is placement:
                return None  # it has waited for longer, and would get the room
        for former in self._formers:
            if (
                former in self.lent
                or former.starter.placement is not placement
                or not former.reserved
            ):
                continue
            if _suffices(former.starter.gpu, self._deployment.starter.gpu):
                return former
        return None

    async def _lend(self, former: Deployment, count: int) -> None:
        if former in self.lent:
            return
        self.lent.append(former)
        await former.lend(count)


def _suffices(had: Gpu | None, needed: Gpu | None) -> bool:
    """Say whether a worker that needs some GPUs fits where one had others."""
    if needed is None or had is None or needed == PREFER or had == PREFER:
        return True
    return had >= needed


def formers_of(
    bundle: str,
    names: Iterable[str],
    serving: Mapping[str, PublishedService],
    running: Mapping[str, Deployment],
) -> list[Deployment]:
    """Return the deployments that end when a bundle serves under these names."""
    taken = set(names)
    kept = {
        deployment
        for name, service in serving.items()
        if name not in taken
        for deployment in _with_traffic(service)
    }
    same = running.get(bundle)
    replaced = (
        deployment
        for name in sorted(taken)
        if name in serving
        for deployment in _with_traffic(serving[name])
    )
    found: list[Deployment] = []
    for deployment in chain([same] if same is not None else [], replaced):
        ends = deployment is same or deployment not in kept
        if ends and deployment not in found:
            found.append(deployment)
    return found


def _with_traffic(service: PublishedService) -> list[Deployment]:
    needed = service.traffic.traffic.needed
    return [one.deployment for number, one in service.versions.items() if number in needed]


def holders(
    placement: Placement,
    serving: Mapping[str, PublishedService],
    starting: Iterable[Deployment],
) -> str:
    """Return in a sentence who has the room of a placement, as far as this server knows."""
    there: dict[Deployment, list[str]] = {}
    for name, service in sorted(serving.items()):
        for version in service.versions.values():
            if version.deployment.starter.placement is placement:
                there.setdefault(version.deployment, []).append(
                    f"version {version.number} of {name!r}"
                )
    said = [
        f"{' and '.join(names)} ({_workers(deployment.reserved)})"
        for deployment, names in there.items()
        if deployment.reserved
    ]
    early = sum(one.reserved for one in starting if one.starter.placement is placement)
    if early:
        said.append(f"starting services ({_workers(early)})")
    return f"In use by {', '.join(said)}." if said else ""


def _workers(count: int) -> str:
    return f"{count} worker{'s' * (count != 1)}"
