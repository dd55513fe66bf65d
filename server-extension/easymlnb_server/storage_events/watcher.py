"""One source: take its files, make their jobs, and leave the results."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from easymlnb.contract.errors import (
    BadRequest,
    EasyMLNBError,
    Forbidden,
    InternalError,
    JobNotFound,
    TooLarge,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.principals import Principals
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.jobs.models import Job, JobInput
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.storage_events import rules
from easymlnb_server.storage_events.models import FileOutcome, Found, Source, TakenFile
from easymlnb_server.storage_events.place import Gone, NotComplete, Place
from easymlnb_server.storage_events.repository import StorageRepository
from easymlnb_server.store.lease import LeaseLost

RETRY = 10.0
"""Seconds until a source that has to wait is tried again."""

KEY = "storage:"
"""Beginning of the idempotency keys of jobs of files."""

WATCHING, WAITING, STOPPED = "watching", "waiting", "stopped"

log = logging.getLogger("easymlnb.storage_events")


@dataclass(frozen=True, slots=True)
class WatcherParts:
    """What all sources share."""

    jobs: Jobs
    services: ServiceRegistry
    principals: Principals
    repository: Callable[[], StorageRepository]


class Watcher:
    """Follows one source until it is canceled.

    ``state`` is ``watching``, ``waiting`` with a ``reason``, or ``stopped``.
    """

    def __init__(self, name: str, source: Source, place: Place, parts: WatcherParts) -> None:
        self.name = name
        self.source = source
        self.state = STOPPED
        self.reason = ""
        self.place = place
        self._parts = parts
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for new files and ended jobs now."""
        self._woken.set()

    async def run(self) -> None:
        """Take files until canceled; after an error, try again."""
        try:
            while True:
                await self._follow()
        finally:
            self.state, self.reason = STOPPED, ""

    async def _follow(self) -> None:
        """Check the source after each event, until an error."""
        watching: asyncio.Task[None] | None = None
        try:
            await asyncio.to_thread(self.place.open)
            watching = asyncio.create_task(self.place.watch(self.wake))
            while True:
                if watching.done():
                    watching.result()
                self._woken.clear()
                await self.look()
                self.state, self.reason = WATCHING, ""
                await self._wait(self.place.pause)
        except LeaseLost:
            raise
        except (EasyMLNBError, OSError) as error:
            self._has_to_wait(getattr(error, "message", None) or str(error))
        except Exception:
            log.exception("The source %s could not be read.", self.name)
            self._has_to_wait(InternalError().message)
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            # The next look opens it again: a folder may have been replaced.
            await asyncio.to_thread(self.place.close)
        self._woken.clear()
        await self._wait(RETRY)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _has_to_wait(self, reason: str) -> None:
        if (self.state, self.reason) != (WAITING, reason):
            log.warning("The source %s waits. %s", self.name, reason)
        self.state, self.reason = WAITING, reason

    async def look(self) -> None:
        """Take new files, make jobs, and leave what has ended."""
        rows = self._parts.repository()
        room = self.source.max_jobs - await asyncio.to_thread(rows.unfinished, self.name)
        await self._take(await asyncio.to_thread(self.place.find, max(room, 0)))
        for item in await asyncio.to_thread(rows.taken, self.name):
            await self._submit(item)
        for item in await asyncio.to_thread(rows.to_finish, self.name):
            await self._finish(item, *await self._outcome(item))

    async def take(self, found: list[Found]) -> int:
        """Store files that a notification names; return how many were new."""
        items = [self._item(one) for one in found]
        added = await asyncio.to_thread(self._parts.repository().add, items)
        self.wake()
        return added

    async def _take(self, found: list[Found]) -> None:
        if found:
            items = [self._item(one) for one in found]
            await asyncio.to_thread(self._parts.repository().add, items)
            await asyncio.to_thread(self.place.confirm, found)

    def _item(self, found: Found) -> TakenFile:
        return TakenFile(
            id=found.id,
            source=self.name,
            identity=found.identity,
            path=found.path,
            place=found.place,
            size=found.size,
            created=time.time(),
        )

    async def _submit(self, item: TakenFile) -> None:
        """Make the job of a file, or leave an error; raises what the source has to wait for."""
        source, parts = self.source, self._parts
        caller, owner = await parts.principals.find(source.user)
        submission = Submission(
            service=source.service,
            caller=caller,
            owner=owner,
            body=b"",
            accept=source.accept,
            key=f"{KEY}{item.id}",
            lane=source.lane,
            attempts=source.attempts,
            low_priority=True,
        )
        parts.jobs.check(submission)
        spec = parts.services.find(source.service).spec
        try:
            rules.check_size(item.size, spec)
            parameter = rules.file_parameter(spec, source.parameter, item.path)
            stored = await asyncio.to_thread(self._store, item, parameter, spec)
        except NotComplete:
            return
        except (BadRequest, TooLarge, Forbidden) as error:
            await self._fail(item, error)
            return
        except Gone:
            await self._fail(item, JobNotFound("The file was removed before it was read."))
            return
        content_type = f"multipart/form-data; boundary={item.id}" if parameter else rules.JSON
        submission = replace(submission, content_type=content_type)
        with_input = partial(_with_input, file=stored)
        await parts.jobs.submit(
            submission, lambda job: parts.repository().submit(item.id, with_input(job))
        )

    def _store(self, item: TakenFile, parameter: str, spec: ServiceSpec) -> str:
        """Store the body of a file's call, and return its name; blocks."""
        chunks = rules.limited(self.place.read(item), spec)
        if parameter:
            chunks = rules.multipart(parameter, item.path, self.source.inputs, chunks, item.id)
        return self._parts.jobs.store.files.put_chunks(chunks)[0]

    async def _fail(self, item: TakenFile, error: EasyMLNBError) -> None:
        """Leave an error of a file that cannot become a job; the source continues."""
        await self._finish(item, FileOutcome(error=error.to_dict(item.id)["error"]))

    async def _outcome(self, item: TakenFile) -> tuple[FileOutcome, Iterator[bytes]]:
        """Return how the job of a file ended, and the content of its result."""
        try:
            job = await self._parts.jobs.get(item.job or "", None)
        except JobNotFound:
            gone = JobNotFound("The file's job was removed before its result was left.")
            return FileOutcome(error=gone.to_dict(item.id)["error"]), iter(())
        if job.result is None:
            error = job.error or {"code": "call_cancelled", "message": "The job was canceled."}
            return FileOutcome(error={**error, "job": job.id}), iter(())
        content = self._parts.jobs.store.files.chunks(job.result)
        return FileOutcome(job.result, job.result_type, job.result_name), content

    async def _finish(
        self, item: TakenFile, outcome: FileOutcome, content: Iterator[bytes] | None = None
    ) -> None:
        """Leave the result or the error of a file."""
        rows = self._parts.repository()
        if item.target is None:
            target = await asyncio.to_thread(self.place.target, item)
            item = await asyncio.to_thread(rows.set_target, item.id, target)
        await asyncio.to_thread(self.place.finish, item, outcome, content or iter(()))
        await asyncio.to_thread(rows.end, item.id, outcome.error, time.time())


def _with_input(job: Job, file: str) -> Job:
    """Return the job of a file, with its stored body."""
    fingerprint = hashlib.sha256(file.encode()).hexdigest()
    return msgspec.structs.replace(job, input=JobInput(file=file), fingerprint=fingerprint)
