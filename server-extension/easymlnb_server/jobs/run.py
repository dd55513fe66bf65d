"""One attempt of a job: send the call, follow it, store what it sends and its result."""

import asyncio
import contextlib
import logging
import math
import time
from typing import Any

from easymlnb.contract.errors import DeadlineExceeded, JobNotFound
from easymlnb.contract.job_protocol import (
    JobAdopted,
    JobDropped,
    JobMetric,
    JobOutput,
    JobPromoted,
    JobStored,
    Leaving,
)
from easymlnb.contract.message import Message
from easymlnb.contract.worker_protocol import Call, Item, Progress
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.dispatch.dispatcher import next_call_id
from easymlnb_server.dispatch.worker_link import JobMessage
from easymlnb_server.identity.names import short_name
from easymlnb_server.jobs import endings, rules
from easymlnb_server.jobs.bodies import load_body, read_end
from easymlnb_server.jobs.events import CHANGED
from easymlnb_server.jobs.kernels import JobKernel
from easymlnb_server.jobs.models import Job, MetricValue
from easymlnb_server.jobs.parts import RunParts
from easymlnb_server.jobs.rules import Change
from easymlnb_server.jobs.transfers import JobTransfers, checkpoints_of
from easymlnb_server.placement.base import Kernel
from easymlnb_server.uploads.spool import SpooledFile
from easymlnb_server.workers.liveness import wait_lost
from easymlnb_server.workers.worker_set import Worker

SAVE_EVERY = 1.0
"""Seconds between two writes of a job's progress and metrics."""

log = logging.getLogger("easymlnb.jobs")


class JobRun:
    """One attempt of a job in this process.

    - ``job``: the job with the token of this attempt
    - ``refused``: whether another process has taken the job over
    - ``child_ended``: set when a job whose parent this one is has ended
    - ``left_node``: whether its node ended, so that no other job may use the kernel
    """

    def __init__(self, job: Job, parts: RunParts, grace: float) -> None:
        self.job = job
        self.refused = self.left_node = False
        self.child_ended = asyncio.Event()
        self.kernel: JobKernel | None = None
        self._saved = (job.progress, job.progress_text)
        self.progress = parts.logs.progress(job.id, job.attempt) or self._saved
        self._parts = parts
        self._grace = grace
        self._cancel = asyncio.Event()
        self._overdue = False
        self._began = time.time()
        self._metrics: list[MetricValue] = []
        self._call = 0
        self._leaving = False
        self._transfers = JobTransfers(
            parts.repository, parts.files, parts.spool, parts.events, lambda: self.job, self._send
        )

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

    @property
    def was_stopped(self) -> bool:
        """Whether the function was asked to stop, which may leave processes and memory behind."""
        return self.cancelled or self._overdue

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
        if applied.state.ended:
            for follow in self._parts.on_ended:
                await follow(applied)
        return True

    async def start(self, kernel: JobKernel) -> CallHandle | None:
        """Send the call of the job; ``None`` if another process has taken the job over."""
        self.kernel = kernel
        body = await asyncio.to_thread(
            load_body, self._parts.files, self._parts.spool, self.job.input
        )
        if not await self.apply(rules.begin(self.job, self._worker_name(kernel), time.time())):
            return None
        offer = await asyncio.to_thread(checkpoints_of, self.job, self._parts.files)
        if offer is not None:
            self._send(offer)
        handle = self._handle(new_call(self.job), body)
        kernel.worker.link.on_job_message = self._on_message
        kernel.worker.link.start(handle, lambda ended, seconds: None)
        return handle

    def take_over(self, kernel: JobKernel, handle: CallHandle) -> None:
        """Make a call that runs as a plain one this attempt."""
        self.kernel = kernel
        if handle.timer is not None:
            handle.timer.cancel()
            handle.timer = None
        handle.canceller, handle.listener = None, self._on_progress
        self._call = handle.call.id
        kernel.worker.link.on_job_message = self._on_message
        self._send(JobPromoted(id=handle.call.id, job=self.job.id, attempt=self.job.attempt))

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
        self._leaving = False
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
            await self._transfers.finish()
            await self._save()

    async def end(self, handle: CallHandle, result: CallResult) -> None:
        """Store the end of the job, then let the worker forget it."""
        assert self.kernel is not None
        if result.result is None and result.failure is None:
            found = await asyncio.to_thread(self._left_result)
            if found is not None:
                result = found
        done = await self._end_change(result, self.kernel.worker)
        if await self.apply(done):
            self.left_node = done.outcome == rules.PREEMPTED
            if not self.left_node:
                self._parts.record(self.job, handle, result)
            if self.job.state.ended:
                self._parts.logs.remove(self.job.id, self.job.attempt)
        if self.kernel.worker.link.lost or self.refused:
            return
        self.kernel.worker.link.send(JobStored(id=handle.call.id))

    async def end_without_worker(self, result: CallResult, kernel: Kernel | None) -> None:
        """Store the end of a job whose worker is gone: what it left, or its loss.

        ``kernel`` is that of the worker, if it is known.
        """
        if await self.apply(await self._end_change(result, kernel)) and self.job.state.ended:
            self._parts.logs.remove(self.job.id, self.job.attempt)

    async def _end_change(self, result: CallResult, gone: Worker | Kernel | None) -> Change:
        self._save_printed(result)
        if result.result is None:
            await self.refresh()
        overdue = DeadlineExceeded(self.job.timeout) if self._overdue else None
        return await endings.end_change(self._parts, self.job, result, overdue, gone)

    def _save_printed(self, result: CallResult) -> None:
        """Save what came with the result only: the call ended before its worker knew of the job."""
        message = result.result if result.result is not None else result.failure
        if message is None or not message.log:
            return
        if not self._parts.logs.size(self.job.id, self.job.attempt):
            self._on_output(JobOutput(id=message.id, offset=0), message.log.encode())

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
        lost = asyncio.create_task(self._wait_lost(self.kernel.worker))
        try:
            while True:
                await asyncio.sleep(SAVE_EVERY)
                await self._save()
                self._tell_leaving()
                if lost.done() and not self.kernel.worker.link.lost:  # it has a new link
                    lost = asyncio.create_task(self._wait_lost(self.kernel.worker))
        finally:
            lost.cancel()

    async def _wait_lost(self, worker: Worker) -> None:
        """Wait until a worker is lost; one whose node is gone, but not its link, must end."""
        await wait_lost(worker.kernel, worker.link, lambda: self._send(JobDropped(id=self._call)))

    def _tell_leaving(self) -> None:
        """Tell the worker that its node ends soon, once over each link."""
        assert self.kernel is not None
        worker, now = self.kernel.worker, time.monotonic()
        if not self._leaving and now >= worker.kernel.replace_at and not worker.link.lost:
            self._leaving = True
            self._send(Leaving(id=self._call, seconds=max(0.0, worker.kernel.ends_at - now)))

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
        self._call = call.id
        handle.started = time.monotonic()
        return handle

    def _on_progress(self, message: Progress | Item, body: bytes) -> None:
        if isinstance(message, Progress):
            self.progress = (message.fraction, message.text)
            self._parts.logs.save_progress(self.job.id, self.job.attempt, self.progress)
            data = {"fraction": message.fraction, "text": message.text}
            self._parts.events.publish(self.job.id, "progress", data)

    def _on_message(self, message: JobMessage, body: bytes | SpooledFile) -> None:
        if isinstance(message, JobOutput):
            assert isinstance(body, bytes)
            self._on_output(message, body)
        elif isinstance(message, JobMetric):
            self._on_metric(message)
        else:
            self._transfers.receive(message, body)

    def _on_metric(self, message: JobMetric) -> None:
        # Not every database can store other numbers, and JSON has none.
        if not math.isfinite(message.value) or abs(message.step) >= 2**63:
            return
        metric = MetricValue(message.name, message.step, message.value, time.time())
        self._metrics.append(metric)
        data = {"name": metric.name, "step": metric.step, "value": metric.value}
        self._parts.events.publish(self.job.id, "metric", data)

    def _on_output(self, message: JobOutput, body: bytes) -> None:
        id, attempt, logs = self.job.id, self.job.attempt, self._parts.logs
        new = logs.append(id, attempt, message.offset, body)
        if new:
            text = new.decode(errors="replace")
            data = {"text": text, "attempt": attempt, "end": logs.end(id, attempt)}
            self._parts.events.publish(self.job.id, "log", data)

    def _send(self, message: Message, body: bytes = b"") -> None:
        if self.kernel is not None and not self.kernel.worker.link.lost:
            self.kernel.worker.link.send(message, body)

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
