"""How an attempt ends: what is stored of it, and which budget it costs."""

import asyncio
import logging
import time
from typing import Any

import msgspec

from easymlnb.contract.errors import EasyMLNBError, Preempted, WorkerLost, WorkerOutOfMemory
from easymlnb.contract.worker_protocol import Result
from easymlnb_server.dispatch.call import CallResult, models_text
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.bodies import store_content
from easymlnb_server.jobs.models import Job
from easymlnb_server.jobs.parts import RunParts
from easymlnb_server.jobs.rules import Change
from easymlnb_server.jobs.submission import kept_seconds
from easymlnb_server.jobs.transfers import store_left_checkpoint
from easymlnb_server.placement.base import Kernel
from easymlnb_server.uploads.spool import SpooledFile
from easymlnb_server.workers.worker_set import Worker

log = logging.getLogger("easymlnb.jobs")


async def end_change(
    parts: RunParts,
    job: Job,
    result: CallResult,
    overdue: EasyMLNBError | None,
    gone: Worker | Kernel | None,
) -> Change:
    """Return the change that ends an attempt.

    ``overdue`` is the error of an attempt whose time was over, ``gone`` the worker that may be lost
    or, after another process had it, its kernel.
    """
    now = time.time()
    if result.result is not None:
        refusal = await asyncio.to_thread(_refusal, parts, job)
        if refusal is not None:
            return await with_end(parts, job, _refuse(job, refusal, now))
        stored = await asyncio.to_thread(_store_result, parts, job, result.result, result.body)
        return _with_expiry(parts, job, rules.succeed(job, stored, now))
    error = overdue or result.error
    reported = result.failure is not None or isinstance(error, WorkerOutOfMemory)
    if isinstance(error, Preempted):
        change = await _preempted(parts, job, now)
    elif error is not None and (reported or overdue is not None):
        change = rules.fail(job, error.to_dict()["error"], now)
    else:
        change = await _lost(parts, job, gone, now)
    return await with_end(parts, job, change)


def _refusal(parts: RunParts, job: Job) -> EasyMLNBError | None:
    """Return why the result does not count, if so."""
    if not parts.checks:
        return None
    files = parts.repository.files(job.id)
    found = (check(job, files) for check in parts.checks)
    return next(filter(None, found), None)


def _refuse(job: Job, refusal: EasyMLNBError, now: float) -> Change:
    if isinstance(refusal, WorkerLost):
        return rules.lose(job, now)
    return rules.fail(job, refusal.to_dict()["error"], now)


async def _preempted(parts: RunParts, job: Job, now: float) -> Change:
    """Return the change after the end of a node."""
    current = await asyncio.to_thread(parts.repository.get, job.id)
    in_vain = await asyncio.to_thread(parts.repository.preempted_in_vain, job.id)
    job = msgspec.structs.replace(job, checkpoint=current.checkpoint)
    return rules.preempt(job, in_vain, now)


async def _lost(parts: RunParts, job: Job, gone: Worker | Kernel | None, now: float) -> Change:
    """Return the change after a loss; that of a node costs nothing if there is a checkpoint."""
    kernel = gone.kernel if isinstance(gone, Worker) else gone
    ended_by_server = isinstance(gone, Worker) and bool(gone.cause)
    await _store_left_checkpoint(parts, job)
    if kernel is not None and not ended_by_server and await kernel.node_lost():
        current = await asyncio.to_thread(parts.repository.get, job.id)
        if current.checkpoint is not None:
            return await _preempted(parts, job, now)
        return rules.lose(job, now, rules.NODE_LOST)
    return rules.lose(job, now)


async def _store_left_checkpoint(parts: RunParts, job: Job) -> None:
    """Store a checkpoint that a worker on this machine had no time to send."""
    folder = parts.kernels.folder(job.worker or "")
    try:
        file = await asyncio.to_thread(store_left_checkpoint, parts.files, folder, job)
    except (EasyMLNBError, OSError) as error:
        log.warning("A checkpoint of the job %s was not stored: %s", job.id, error)
        return
    if file is not None:
        await asyncio.to_thread(parts.repository.save_checkpoint, job, file, time.time())


def _store_result(
    parts: RunParts, job: Job, message: Result, body: bytes | SpooledFile
) -> dict[str, Any]:
    name, _ = store_content(parts.files, body)
    return {
        "result": name,
        "result_type": message.content_type,
        "result_name": message.filename,
        "models": models_text(message.models),
        "log": _store_log(parts, job),
    }


def _store_log(parts: RunParts, job: Job) -> str:
    return parts.files.put(parts.logs.read(job.id, job.attempt))


async def with_end(parts: RunParts, job: Job, change: Change) -> Change:
    """Add the log and the expiry to a change that ends a job."""
    if change.values["state"].ended:
        change.values["log"] = await asyncio.to_thread(_store_log, parts, job)
    return _with_expiry(parts, job, change)


def _with_expiry(parts: RunParts, job: Job, change: Change) -> Change:
    if change.values["state"].ended:
        change.values["expires"] = time.time() + kept_seconds(job, parts.retention)
    return change
