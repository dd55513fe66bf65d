"""Schedules: create and change them, and make a job at each tick.

A tick makes one job: the job's key names it, and the transaction that adds the job also sets the
next tick. Of the ticks that were missed while no server ran, only one makes a job.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import UNSET

from easymlnb.contract.errors import (
    BadRequest,
    EasyMLNBError,
    Forbidden,
    InternalError,
    ScheduleNotFound,
)
from easymlnb_server.identity.access import Caller, UserDirectory
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.jobs.models import Job, JobInput, new_id
from easymlnb_server.jobs.submission import Submission, check_attempts
from easymlnb_server.schedules import rules
from easymlnb_server.schedules.models import (
    Schedule,
    ScheduleChange,
    ScheduleOptions,
    ScheduleRequest,
)
from easymlnb_server.schedules.repository import OVERLAPPED, NotDue, ScheduleRepository
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.store.lease import LeaseLost
from easymlnb_server.store.store import Store

MOST = 200
"""Maximum number of schedules of one owner."""

LONGEST_WAIT = 10.0
"""Maximum seconds between two looks for due ticks; the clock may be changed."""

UNAVAILABLE_PAUSE = 5.0
"""Seconds until a tick that could not be handled now is tried again."""

JSON = "application/json"

log = logging.getLogger("easymlnb.schedules")


class Schedules:
    """All schedules of a server; only the active process makes their jobs."""

    def __init__(
        self,
        jobs: Jobs,
        services: ServiceRegistry,
        users: UserDirectory,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._jobs = jobs
        self._services = services
        self._users = users
        self._clock = clock
        self._rows: ScheduleRepository | None = None
        self._woken = asyncio.Event()

    @property
    def repository(self) -> ScheduleRepository:
        """The rows of schedules; raises why this process does not serve them."""
        _ = self._jobs.repository
        assert self._rows is not None
        return self._rows

    def prepare(self, store: Store) -> None:
        """Use a store, before anything is served or removed."""
        self._rows = ScheduleRepository(store.database)

    async def create(self, request: ScheduleRequest, caller: Caller, owner: str) -> Schedule:
        """Store a new schedule; raises ``BadRequest`` or ``ServiceNotFound``."""
        now = self._clock()
        following = rules.next_tick(request.cron, request.zone, now)
        schedule = Schedule(
            id=new_id(now),
            owner=owner,
            user=caller.name,
            service=request.service,
            cron=" ".join(request.cron.split()),
            zone=request.zone,
            input=JobInput(file=""),
            options=ScheduleOptions(
                lane=request.lane, attempts=request.attempts, timeout=request.timeout
            ),
            overlap=request.overlap,
            next=None if request.paused else following,
            created=now,
            changed=now,
        )
        schedule = await self._with_inputs(schedule, caller, encode(request.inputs))
        if not await asyncio.to_thread(self.repository.add, schedule, MOST):
            raise BadRequest(f"You have {MOST} schedules already. Remove one first.")
        self.wake()
        return schedule

    async def change(
        self, id: str, owner: str | None, change: ScheduleChange, caller: Caller
    ) -> Schedule:
        """Change a schedule, and return it; raises ``ScheduleNotFound`` or ``BadRequest``."""
        old = await self.get(id, owner)
        given = {
            name: value
            for name in change.__struct_fields__
            if (value := getattr(change, name)) is not UNSET
        }
        inputs, paused = given.pop("inputs", None), given.pop("paused", old.next is None)
        names = ScheduleOptions.__struct_fields__
        options = {name: given.pop(name) for name in names if name in given}
        new = msgspec.structs.replace(
            old, **given, options=msgspec.structs.replace(old.options, **options)
        )
        new = msgspec.structs.replace(new, cron=" ".join(new.cron.split()))
        following = rules.next_tick(new.cron, new.zone, self._clock())
        resumed = old.next is None and not paused
        new = msgspec.structs.replace(
            new, next=None if paused else following, reason="" if resumed else old.reason
        )
        if inputs is not None or not paused:
            data = await self.inputs(old) if inputs is None else encode(inputs)
            new = await self._with_inputs(new, caller, data)
        values = msgspec.to_builtins(new)
        changed = {
            name: values[name]
            for name in ("cron", "zone", "input", "options", "overlap", "next", "reason")
        }
        found = await asyncio.to_thread(
            self.repository.change, id, {**changed, "changed": self._clock()}
        )
        self.wake()
        return found

    async def get(self, id: str, owner: str | None) -> Schedule:
        """Return a schedule of ``owner``, or anyone's for ``None``."""
        schedule = await asyncio.to_thread(self.repository.get, id)
        if owner is not None and schedule.owner != owner:
            raise ScheduleNotFound
        return schedule

    async def find(self, owner: str | None, service: str = "") -> list[Schedule]:
        """Return the schedules of an owner, or all, newest first."""
        return await asyncio.to_thread(lambda: self.repository.find(owner=owner, service=service))

    async def inputs(self, schedule: Schedule) -> bytes:
        """Return the parameters of a schedule's calls, as JSON."""
        return await asyncio.to_thread(self._jobs.store.files.get, schedule.input.file)

    async def remove(self, id: str, owner: str | None) -> None:
        """Delete a schedule; its jobs stay."""
        await self.get(id, owner)
        await asyncio.to_thread(self.repository.remove, id)

    async def run_now(self, id: str, owner: str | None, request_id: str) -> Job:
        """Make a job of a schedule now, also of one that is paused."""
        schedule = await self.get(id, owner)
        caller = await self._caller(schedule)
        submission = _submission(schedule, caller, request_id=request_id)
        now = self._clock()
        return await self._jobs.submit(
            submission, lambda job: self.repository.run_now(id, _with_input(job, schedule), now)
        )

    def wake(self) -> None:
        """Look for due ticks now."""
        self._woken.set()

    async def run(self) -> None:
        """Make the jobs of all ticks, until canceled."""
        while True:
            self._woken.clear()
            pause = await self.tick()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def tick(self) -> float:
        """Handle the ticks that are due; return the seconds until the next look."""
        repository = self.repository
        deferred = 0
        for schedule in await asyncio.to_thread(repository.due, self._clock()):
            deferred += not await self._handle(schedule)
        if deferred:
            return UNAVAILABLE_PAUSE
        following = await asyncio.to_thread(repository.next)
        if following is None:
            return LONGEST_WAIT
        return min(LONGEST_WAIT, max(0.0, following - self._clock()))

    async def _handle(self, schedule: Schedule) -> bool:
        """Make the job of a tick, or let it pass; ``False`` if it must be tried again."""
        try:
            await self._make_job(schedule)
        except NotDue:
            pass
        except EasyMLNBError as error:
            if error.status == 503:
                log.warning("The schedule %s has to wait (%s).", schedule.id, error)
                return False
            await self._pass(schedule, error.message, pause=error.status != 429)
        except LeaseLost:
            raise
        except Exception:
            log.exception("The schedule %s could not be run.", schedule.id)
            await self._pass(schedule, InternalError().message, pause=True)
        return True

    async def _make_job(self, schedule: Schedule) -> None:
        assert schedule.next is not None
        if await asyncio.to_thread(self.repository.overlaps, schedule):
            await self._pass(schedule, OVERLAPPED, pause=False)
            return
        caller = await self._caller(schedule)
        now = self._clock()
        following = rules.next_tick(schedule.cron, schedule.zone, now)
        key = f"schedule:{schedule.id}:{schedule.next:.0f}"
        await self._jobs.submit(
            _submission(schedule, caller, key=key),
            lambda job: self.repository.fire(schedule, following, _with_input(job, schedule), now),
        )

    async def _pass(self, schedule: Schedule, reason: str, *, pause: bool) -> None:
        now = self._clock()
        following = None if pause else rules.next_tick(schedule.cron, schedule.zone, now)
        if pause:
            log.warning("The schedule %s is paused. %s", schedule.id, reason)
        await asyncio.to_thread(self.repository.pass_tick, schedule, following, reason, now)

    async def _caller(self, schedule: Schedule) -> Caller:
        """Return the user whose rights a schedule has, as they are now."""
        caller = await self._users.find(schedule.user)
        if caller is None or not caller.owns(schedule.user):
            raise Forbidden(f"The user {schedule.user!r} who made the schedule is no longer there.")
        return caller

    async def _with_inputs(self, schedule: Schedule, caller: Caller, inputs: bytes) -> Schedule:
        """Return a schedule with stored parameters, if the caller may run it with them."""
        check_attempts(schedule.options.attempts)
        self._jobs.check(_submission(schedule, caller))
        rules.check_inputs(json.loads(inputs), self._services.find(schedule.service).spec)
        name = await asyncio.to_thread(self._jobs.store.files.put, inputs)
        return msgspec.structs.replace(schedule, input=JobInput(file=name))


def encode(inputs: Mapping[str, Any]) -> bytes:
    """Return the parameters of a call as JSON; also numbers that msgspec cannot encode."""
    return json.dumps(inputs).encode()


def _submission(schedule: Schedule, caller: Caller, **values: Any) -> Submission:
    options = schedule.options
    return Submission(
        service=schedule.service,
        caller=caller,
        owner=schedule.owner,
        body=b"",
        content_type=JSON,
        lane=options.lane,
        attempts=options.attempts,
        timeout=options.timeout,
        **values,
    )


def _with_input(job: Job, schedule: Schedule) -> Job:
    """Return the job of a schedule, with its parameters."""
    fingerprint = hashlib.sha256(schedule.input.file.encode()).hexdigest()
    options = msgspec.structs.replace(job.options, schedule=schedule.id)
    return msgspec.structs.replace(
        job, input=schedule.input, fingerprint=fingerprint, options=options
    )
