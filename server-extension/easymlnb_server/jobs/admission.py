"""Count submitted jobs against the limits of their caller and service."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from easymlnb.contract.errors import LimitExceeded
from easymlnb_server.identity.access import Caller, is_pass_key
from easymlnb_server.identity.grants import KeyGrant
from easymlnb_server.identity.quotas.quotas import VISITOR_KEY, Quotas
from easymlnb_server.jobs.models import Job, JobOptions
from easymlnb_server.jobs.repository import JobRepository

MAX_FULL = 1000
"""Places without room whose jobs are not counted again until one may have ended."""


class JobAdmission:
    """Admits jobs.

    A job counts as a call when it is submitted. A limit of concurrent calls counts the jobs that
    have not ended, which the database knows.
    """

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._lock = asyncio.Lock()
        self._full: dict[tuple[str, str, str], tuple[object, dict[str, int]]] = {}
        """What was counted where a call found no room, and the last change of jobs before that."""

    async def add(
        self,
        repository: JobRepository,
        job: Job,
        caller: Caller | None,
        size: int,
        store: Callable[[], Job],
    ) -> Job:
        """Store a job with ``store``, which blocks, unless a limit refuses it; return it.

        A job that is stored already under the same idempotency key does not count again. Raises
        ``LimitExceeded`` or ``TooLarge``.
        """
        key = job.key or ""
        if key:
            known = await asyncio.to_thread(repository.has_key, job.owner, job.service, key)
            if known:
                return await asyncio.to_thread(store)
        admission = self._quotas.admit(job.service, caller, limited_owner(job), size)
        try:
            stored = await self._store(repository, job, caller, store)
        except BaseException:
            for meter in admission:
                meter.refund()
            raise
        for meter in admission:
            if stored.id == job.id:
                meter.leave(0.0)
            else:
                meter.refund()
        return stored

    async def _store(
        self, repository: JobRepository, job: Job, caller: Caller | None, store: Callable[[], Job]
    ) -> Job:
        owner = limited_owner(job)
        if not self._quotas.limits_jobs(job.service, caller, owner):
            return await asyncio.to_thread(store)
        async with self._lock:
            await self._check(repository, job, caller)
            return await asyncio.to_thread(store)

    @asynccontextmanager
    async def room(
        self, repository: JobRepository, job: Job, caller: Caller | None
    ) -> AsyncIterator[bool]:
        """Tell whether a running call, which is counted, may become a job in this block."""
        owner = limited_owner(job)
        if not self._quotas.limits_jobs(job.service, caller, owner):
            yield True
            return
        async with self._lock:
            yield await self._has_room(repository, job, caller)

    async def _has_room(self, repository: JobRepository, job: Job, caller: Caller | None) -> bool:
        """Return whether the limits allow one more job.

        Calls ask again and again while there is no room. The jobs are counted again only after a
        change with which some may have ended.
        """
        place = (job.owner, job.service, _key_of(caller))
        change, unfinished = self._full.pop(place, (None, {}))
        if change is not repository.last_change or self._allows(job, caller, unfinished):
            change = repository.last_change
            unfinished = await asyncio.to_thread(repository.unfinished, *place)
            if self._allows(job, caller, unfinished):
                return True
        if len(self._full) >= MAX_FULL:
            self._full.clear()
        self._full[place] = change, unfinished
        return False

    def _allows(self, job: Job, caller: Caller | None, unfinished: dict[str, int]) -> bool:
        try:
            self._quotas.check_jobs(job.service, caller, limited_owner(job), unfinished)
        except LimitExceeded:
            return False
        return True

    async def _check(self, repository: JobRepository, job: Job, caller: Caller | None) -> None:
        place = (job.owner, job.service, _key_of(caller))
        unfinished = await asyncio.to_thread(repository.unfinished, *place)
        self._quotas.check_jobs(job.service, caller, limited_owner(job), unfinished)


def _key_of(caller: Caller | None) -> str:
    """Return the ID of a caller's API key."""
    return caller.key.id if caller is not None and caller.key is not None else ""


def limited_owner(job: Job) -> str:
    """Return the owner key by which limits count a job: a visitor's browser is one visitor."""
    return f"{VISITOR_KEY}{job.owner}" if is_pass_key(job.owner) else job.owner


def options_of(caller: Caller | None, request_id: str, *, view: bool) -> JobOptions:
    """Return the options of a job that a caller, or a visitor, submits."""
    if caller is None:
        return JobOptions(request_id=request_id, view=view)
    key = caller.key.id if caller.key is not None else ""
    return JobOptions(request_id=request_id, view=view, user=caller.name, api_key=key)


def submitter(options: JobOptions) -> Caller | None:
    """Return who submitted a job, to count its runs. This caller has no rights."""
    if not options.user:
        return None
    grant = KeyGrant(options.api_key, frozenset(), frozenset()) if options.api_key else None
    return Caller(options.user, key=grant)
