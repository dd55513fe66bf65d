"""Files between a job's worker and the server: what it saves, and the checkpoints that it reads."""

import asyncio
import logging
import mimetypes
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from easymlnb.contract.checkpoint_file import CHUNK, files_in, is_whole
from easymlnb.contract.errors import EasyMLNBError, StorageDamaged
from easymlnb.contract.job_protocol import (
    FILE_PART,
    JOBS_FOLDER,
    CheckpointPart,
    JobCheckpoints,
    JobFile,
    JobFilePart,
    JobFileStored,
    JobPartStored,
    ReadCheckpoint,
    attempt_folder,
)
from easymlnb.contract.message import Message
from easymlnb_server.jobs.bodies import store_content
from easymlnb_server.jobs.events import CHANGED, JobEvents
from easymlnb_server.jobs.models import Job, StoredFile
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.store.files import Files
from easymlnb_server.uploads.spool import Spool, SpooledFile

FileMessage = JobFile | JobFilePart | ReadCheckpoint

log = logging.getLogger("easymlnb.jobs")


def checkpoints_of(job: Job, files: Files) -> JobCheckpoints | None:
    """Return the message with the checkpoints of a job that can be read; blocks."""
    found = []
    for name in (job.checkpoint, job.former_checkpoint):
        if name is not None:
            try:
                found.append((name, files.size(name)))
            except StorageDamaged:
                log.error("A checkpoint of the job %s is missing.", job.id)
    if not found:
        return None
    return JobCheckpoints(job=job.id, attempt=job.attempt, files=tuple(found))


def store_left_checkpoint(files: Files, folder: Path, job: Job) -> str | None:
    """Store the newest checkpoint in the folder of a worker that is gone; return its name.

    ``None`` if there is none that the server does not have. It blocks.
    """
    for path in files_in(folder / JOBS_FOLDER / attempt_folder(job.id, job.attempt)):
        if is_whole(path):
            with path.open("rb") as file:
                name, _ = files.put_chunks(iter(partial(file.read, CHUNK), b""))
            return name if name != job.checkpoint else None
    return None


class JobTransfers:
    """The files of one attempt. Messages are handled one after another, in their order.

    Parameters
    ----------
    repository, files, spool, events
        Where files are recorded, stored and assembled, and who follows the job.
    job
        Returns the job with its present token.
    send
        Sends a message to the worker, if it is connected.
    """

    def __init__(
        self,
        repository: JobRepository,
        files: Files,
        spool: Spool,
        events: JobEvents,
        job: Callable[[], Job],
        send: Callable[[Message, bytes], None],
    ) -> None:
        self._repository = repository
        self._files = files
        self._spool = spool
        self._events = events
        self._job = job
        self._send = send
        self._queue: asyncio.Queue[tuple[FileMessage, bytes | SpooledFile]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._parts: dict[int, SpooledFile] = {}

    def receive(self, message: FileMessage, body: bytes | SpooledFile) -> None:
        """Handle a message of the worker soon."""
        self._queue.put_nowait((message, body))
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Wait until all messages are handled."""
        await self._queue.join()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for part in self._parts.values():
            part.close()
        self._parts.clear()

    async def _run(self) -> None:
        while True:
            message, body = await self._queue.get()
            try:
                await self._handle(message, body)
            except EasyMLNBError as error:
                log.warning("A file of the job %s was not stored: %s", self._job().id, error)
                self._forget(message)
            except Exception:
                log.exception("A file of the job %s was not stored.", self._job().id)
                self._forget(message)
            finally:
                self._queue.task_done()

    async def _handle(self, message: FileMessage, body: bytes | SpooledFile) -> None:
        if isinstance(message, ReadCheckpoint):
            await self._answer(message)
        elif isinstance(message, JobFilePart):
            assert isinstance(body, bytes)
            await self._add_part(message, body)
        else:
            await self._store(message, body)

    def _forget(self, message: FileMessage) -> None:
        """Tell the worker that a file will not be stored: its job continues without it."""
        if isinstance(message, JobFile | JobFilePart):
            part = self._parts.pop(message.number, None)
            if part is not None:
                part.close()
            self._send(JobFileStored(id=message.id, number=message.number), b"")

    async def _add_part(self, message: JobFilePart, body: bytes) -> None:
        if message.offset == 0:
            former = self._parts.pop(message.number, None)
            if former is not None:
                former.close()
            self._parts[message.number] = await asyncio.to_thread(self._spool.create_on_disk)
        file = self._parts.get(message.number)
        if file is None or file.size != message.offset:
            return  # it began over another link, and begins again
        await asyncio.to_thread(file.write, body)
        stored = JobPartStored(id=message.id, number=message.number, offset=file.size)
        self._send(stored, b"")

    async def _store(self, message: JobFile, body: bytes | SpooledFile) -> None:
        if message.size:
            parts = self._parts.pop(message.number, None)
            if parts is None or parts.size != message.size:
                return
            body = parts
        job = self._job()
        if message.checkpoint:
            await self._store_checkpoint(job, body)
        else:
            await self._store_labeled(job, message, body)
        self._send(JobFileStored(id=message.id, number=message.number), b"")

    async def _store_checkpoint(self, job: Job, body: bytes | SpooledFile) -> None:
        if isinstance(body, SpooledFile) and not await asyncio.to_thread(is_whole, body.path):
            log.error("A checkpoint of the job %s is incomplete.", job.id)
            return
        name, _ = await asyncio.to_thread(store_content, self._files, body)
        if await asyncio.to_thread(self._repository.save_checkpoint, job, name, time.time()):
            self._events.publish(job.id, CHANGED)

    async def _store_labeled(self, job: Job, message: JobFile, body: bytes | SpooledFile) -> None:
        name, size = await asyncio.to_thread(store_content, self._files, body)
        media = message.media_type or _guessed(message.label)
        file = StoredFile(message.label, name, size, media, job.attempt)
        if await asyncio.to_thread(self._repository.save_file, job, file):
            data = {"label": message.label, "size": size, "media_type": media}
            self._events.publish(job.id, "file", data)

    async def _answer(self, message: ReadCheckpoint) -> None:
        job = self._job()
        answer = CheckpointPart(id=message.id, file=message.file, offset=message.offset)
        if message.file not in (job.checkpoint, job.former_checkpoint):
            answer.missing = True
            self._send(answer, b"")
            return
        try:
            body = await asyncio.to_thread(self._read, message)
        except (EasyMLNBError, OSError) as error:
            log.error("A checkpoint of the job %s cannot be read: %s", job.id, error)
            body, answer.missing = b"", True
        self._send(answer, body)

    def _read(self, message: ReadCheckpoint) -> bytes:
        with self._files.open(message.file) as file:
            file.seek(message.offset)
            return file.read(FILE_PART)


def _guessed(label: str) -> str:
    return mimetypes.guess_type(label)[0] or "application/octet-stream"
