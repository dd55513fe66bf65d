"""One attempt of a job: send the call, follow it, store what it sends and its result."""

import asyncio
import contextlib
import logging
import mimetypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from easymlnb.contract.errors import DeadlineExceeded, EasyMLNBError, JobNotFound, WorkerOutOfMemory
from easymlnb.contract.job_protocol import (
    JobAdopted,
    JobCheckpoint,
    JobFile,
    JobFileStored,
    JobMetric,
    JobOutput,
    JobStored,
)
from easymlnb.contract.worker_protocol import Call, Item, Progress, Result
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.dispatch.dispatcher import next_call_id
from easymlnb_server.identity.names import short_name
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.bodies import load_body, read_end, store_content
from easymlnb_server.jobs.events import CHANGED, JobEvents
from easymlnb_server.jobs.kernels import JobKernel, JobKernels
from easymlnb_server.jobs.logs import JobLogs
from easymlnb_server.jobs.models import Job, Metric, StoredFile
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.jobs.rules import Change
from easymlnb_server.store.files import Files
from easymlnb_server.uploads.spool import Spool, SpooledFile
from easymlnb_server.workers.liveness import wait_lost

SAVE_EVERY = 1.0
"""Seconds between two writes of a job's progress and metrics."""

log = logging.getLogger("easymlnb.jobs")


@dataclass(frozen=True, slots=True)
class RunParts:
    """What every run uses.

    ``record`` writes the finished call to the log and the metrics. ``retention`` is the number of
    seconds until a job that ended is deleted.
    """

    repository: JobRepository
    files: Files
    spool: Spool
    logs: JobLogs
    events: JobEvents
    kernels: JobKernels
    record: Callable[[Job, CallHandle, CallResult], None]
    retention: float


class JobRun:
    """One attempt of a job in this process.

    - ``job``: the job with the token of this attempt
    - ``refused``: whether another process has taken the job over
    - ``child_ended``: set when a job whose parent this one is has ended
    """

    def __init__(self, job: Job, parts: RunParts, grace: float) -> None:
        self.job = job
        self.refused = False
        self.child_ended = asyncio.Event()
        self.kernel: JobKernel | None = None
        self.progress: tuple[float, str] = (job.progress, job.progress_text)
        self._parts = parts
        self._grace = grace
        self._cancel = asyncio.Event()
        self._overdue = False
        self._began = time.time()
        self._saved = self.progress
        self._metrics: list[Metric] = []
        self._storing: set[asyncio.Task[None]] = set()

    @property
    def parts(self) -> RunParts:
        """What every run uses."""
        return self._parts

    @property
    def seconds_left(self) -> float:
        """The seconds that the attempt may still run."""
        return max(0.0, self._began + self.job.timeout - time.time())

    def cancel(self) -> None:
        """Stop the job; the row says already that it is canceled."""
        self._cancel.set()

    @property
    def cancelled(self) -> bool:
        return self._cancel.is_set()

    async def wait_cancelled(self) -> None:
        await self._cancel.wait()

    async def refresh(self) -> None:
        """Read whether the job was canceled, which the rules must know."""
        if self.cancelled and not self.job.cancel:
            with contextlib.suppress(JobNotFound):  # deleted with the user who submitted it
                self.job = await asyncio.to_thread(self._parts.repository.get, self.job.id)

    async def apply(self, change: Change) -> bool:
        """Write a change of this attempt; ``False`` if another process has taken it over."""
        applied = await asyncio.to_thread(self._parts.repository.apply, self.job, change)
        if applied is None:
            log.warning("A write of the job %s was refused: it has another holder.", self.job.id)
            self.refused = True
            return False
        self.job = applied
        self._parts.events.publish(self.job.id, CHANGED)
        return True

    async def start(self, kernel: JobKernel) -> CallHandle | None:
        """Send the call of the job; ``None`` if another process has taken the job over."""
        self.kernel = kernel
        body = await asyncio.to_thread(
            load_body, self._parts.files, self._parts.spool, self.job.input
        )
        if not await self.apply(rules.begin(self.job, self._worker_name(kernel), time.time())):
            return None
        await self._send_checkpoint(kernel)
        handle = self._handle(new_call(self.job), body)
        kernel.worker.link.on_job_message = self._on_message
        kernel.worker.link.start(handle, lambda ended, seconds: None)
        return handle

    async def read_begin(self) -> None:
        """Read when the attempt of an adopted job began, which decides when its time is over."""
        attempts = await asyncio.to_thread(self._parts.repository.attempts, self.job.id)
        self._began = attempts[-1].began if attempts else time.time()

    def attach(self, kernel: JobKernel) -> CallHandle | None:
        """Follow the call that an adopted kernel runs; ``None`` if it runs another job or none."""
        self.kernel = kernel
        link = kernel.worker.link
        running = next((run for run in link.hello.runs if self._is_this(run)), None)
        if running is None:
            return None
        call = new_call(self.job, running[2])
        handle = self._handle(call, b"")
        link.on_job_message = self._on_message
        link.adopt(handle)
        share = link.file_share.path if link.file_share is not None else ""
        size = self._parts.logs.size(self.job.id, self.job.attempt)
        link.send(JobAdopted(id=call.id, log=size, result_folder=share))
        return handle

    async def follow(self, handle: CallHandle) -> CallResult:
        """Wait for the end of the call, also over several links; cancel it when asked to."""
        assert self.kernel is not None
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                await self._wait(handle)
                result = handle.answered.result()
                if result.result is not None or result.failure is not None:
                    return result
                if not (await self._parts.kernels.reconnected(self.kernel)):
                    return result
                again = self.attach(self.kernel)
                if again is None:
                    return result
                handle = again
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            if self._storing:
                await asyncio.wait(self._storing)
            await self._save()

    async def end(self, handle: CallHandle, result: CallResult) -> None:
        """Store the end of the job, then let the worker forget it."""
        assert self.kernel is not None
        if result.result is None and result.failure is None:
            found = await asyncio.to_thread(self._left_result)
            if found is not None:
                result = found
        done = await self._end_change(result)
        if await self.apply(done):
            self._parts.record(self.job, handle, result)
            if self.job.state.ended:
                self._parts.logs.remove(self.job.id, self.job.attempt)
        if self.kernel.worker.link.lost or self.refused:
            return
        self.kernel.worker.link.send(JobStored(id=handle.call.id))

    async def end_without_worker(self, result: CallResult) -> None:
        """Store the end of a job whose worker is gone: what it left, or its loss."""
        await self.apply(await self._end_change(result))

    async def _end_change(self, result: CallResult) -> Change:
        now = time.time()
        if result.result is not None:
            values = await asyncio.to_thread(self._store_result, result.result, result.body)
            return self._with_end(rules.succeed(self.job, values, now))
        await self.refresh()
        error = DeadlineExceeded(self.job.timeout) if self._overdue else result.error
        told = result.failure is not None or isinstance(error, WorkerOutOfMemory)
        if error is not None and (told or self._overdue):
            change = rules.fail(self.job, _told(error), now)
        else:
            change = rules.lose(self.job, now)
        return self._with_end(await self._with_log(change))

    async def _with_log(self, change: Change) -> Change:
        if change.values["state"].ended:
            change.values["log"] = await asyncio.to_thread(self._store_log)
        return change

    def _with_end(self, change: Change) -> Change:
        if change.values["state"].ended:
            change.values["expires"] = time.time() + self._parts.retention
        return change

    def _store_result(self, message: Result, body: bytes | SpooledFile) -> dict[str, Any]:
        name, _ = store_content(self._parts.files, body)
        values = {"result": name, "result_type": message.content_type, "log": self._store_log()}
        return values | {"result_name": message.filename}

    def _store_log(self) -> str:
        return self._parts.files.put(self._parts.logs.read(self.job.id, self.job.attempt))

    def _left_result(self) -> CallResult | None:
        """Return what the worker stored before it was killed."""
        assert self.kernel is not None
        found = read_end(self.kernel.worker.folder, self.job.id, self.job.attempt)
        return CallResult.from_message(*found, "") if found is not None else None

    async def _wait(self, handle: CallHandle) -> None:
        """Wait for the answer of a handle; stop the call when canceled or overdue."""
        cancelled = asyncio.create_task(self.wait_cancelled())
        left = self.seconds_left
        try:
            waiting: set[asyncio.Future[Any]] = {handle.answered, cancelled}
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if handle.answered.done():
                return
            self._overdue = not self.cancelled
            await self._stop(handle)
        finally:
            cancelled.cancel()

    async def _stop(self, handle: CallHandle) -> None:
        """Ask the worker to stop the call; end the worker if it does not."""
        assert self.kernel is not None
        self.kernel.worker.link.cancel(handle.call.id)
        await asyncio.wait({handle.answered}, timeout=self._grace)
        if not handle.answered.done():
            self.kernel.worker.cause = "hung"
            await self._parts.kernels.end(self.kernel)
            await asyncio.wait({handle.answered})

    async def _watch(self) -> None:
        """Notice a dead process, and store progress and metrics from time to time."""
        assert self.kernel is not None
        lost = asyncio.create_task(wait_lost(self.kernel.worker.kernel, self.kernel.worker.link))
        try:
            while True:
                await asyncio.sleep(SAVE_EVERY)
                await self._save()
                if lost.done() and not self.kernel.worker.link.lost:  # it has a new link
                    worker = self.kernel.worker
                    lost = asyncio.create_task(wait_lost(worker.kernel, worker.link))
        finally:
            lost.cancel()

    async def _save(self) -> None:
        found, self._metrics = self._metrics, []
        if found:
            await asyncio.to_thread(self._parts.repository.save_metrics, self.job, found)
        if self.progress != self._saved:
            self._saved = self.progress
            await asyncio.to_thread(self._parts.repository.save_progress, self.job, *self._saved)

    def _handle(self, call: Call, body: Body) -> CallHandle:
        handle = CallHandle(call, body, asyncio.get_running_loop(), self._on_progress)
        handle.no_retry = True
        handle.started = time.monotonic()
        return handle

    def _on_progress(self, message: Progress | Item, body: bytes) -> None:
        if isinstance(message, Progress):
            self.progress = (message.fraction, message.text)
            data = {"fraction": message.fraction, "text": message.text}
            self._parts.events.publish(self.job.id, "progress", data)

    def _on_message(
        self, message: JobOutput | JobMetric | JobFile, body: bytes | SpooledFile
    ) -> None:
        if isinstance(message, JobOutput):
            assert isinstance(body, bytes)
            self._on_output(message, body)
        elif isinstance(message, JobMetric):
            metric = Metric(message.name, message.step, message.value, time.time())
            self._metrics.append(metric)
            data = {"name": metric.name, "step": metric.step, "value": metric.value}
            self._parts.events.publish(self.job.id, "metric", data)
        else:
            task = asyncio.create_task(self._store_file(message, body))
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)

    def _on_output(self, message: JobOutput, body: bytes) -> None:
        new = self._parts.logs.append(self.job.id, self.job.attempt, message.offset, body)
        if new:
            data = {"text": new.decode(errors="replace"), "attempt": self.job.attempt}
            self._parts.events.publish(self.job.id, "log", data)

    async def _store_file(self, message: JobFile, body: bytes | SpooledFile) -> None:
        repository, job = self._parts.repository, self.job
        name, size = await asyncio.to_thread(store_content, self._parts.files, body)
        if message.checkpoint:
            stored = await asyncio.to_thread(repository.save_checkpoint, job, name, time.time())
            if stored:
                self._parts.events.publish(job.id, CHANGED)
        else:
            media = message.media_type or _guessed(message.label)
            file = StoredFile(message.label, name, size, media, job.attempt)
            stored = await asyncio.to_thread(repository.save_file, job, file)
            data = {"label": message.label, "size": size, "media_type": media}
            self._parts.events.publish(job.id, "file", data)
        if stored and self.kernel is not None and not self.kernel.worker.link.lost:
            self.kernel.worker.link.send(JobFileStored(id=message.id, number=message.number))

    async def _send_checkpoint(self, kernel: JobKernel) -> None:
        if self.job.checkpoint is not None:
            with contextlib.suppress(EasyMLNBError):
                data = await asyncio.to_thread(self._parts.files.get, self.job.checkpoint)
                message = JobCheckpoint(job=self.job.id, attempt=self.job.attempt)
                kernel.worker.link.send(message, data)

    def _is_this(self, running: tuple[str, int, int]) -> bool:
        return running[:2] == (self.job.id, self.job.attempt)

    def _worker_name(self, kernel: JobKernel) -> str:
        return kernel.worker.folder.name


def new_call(job: Job, id: int | None = None) -> Call:
    """Return the message that starts a job's function; ``id`` is that of a call that runs."""
    return Call(
        id=next_call_id() if id is None else id,
        service=short_name(job.service),
        content_type=job.input_type,
        accept=job.accept,
        seconds=job.timeout,
        request_id=job.options.request_id,
        view=job.options.view,
        progress=True,
        job=job.id,
        attempt=job.attempt,
    )


def _told(error: EasyMLNBError) -> dict[str, Any]:
    told: dict[str, Any] = error.to_dict()["error"]
    return told


def _guessed(label: str) -> str:
    return mimetypes.guess_type(label)[0] or "application/octet-stream"
