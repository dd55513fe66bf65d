"""Workers that outlive their server: told how to come back, and taken over by the next one.

A worker gets a secret over its link; the server keeps only the hash of it, in the note on the
worker's process. When the link is lost the worker dials again, for a while, with that secret:
the next server, or the same one where a proxy between them was away.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from easymlnb.contract.worker_protocol import ReconnectGrant
from easymlnb_server.placement.base import OrphanedWorker
from easymlnb_server.workers import liveness
from easymlnb_server.workers.registration import RegisteredWorker, WorkerRegistration, secret_hash
from easymlnb_server.workers.worker_set import Worker

RETURN_TIMEOUT = 30.0
"""Seconds that a worker whose process runs has to dial; one that waits does so within one. More
than a worker needs to break off the call that it ran for somebody who is gone."""

log = logging.getLogger("easymlnb.deployment")


async def prepare(worker: Worker, bundle: str, seconds: float) -> None:
    """Let a worker wait so long for the next server when this one is gone, and note whose it is.

    Where the note cannot be written the worker serves all the same, and ends with this server.
    """
    if not seconds:
        return
    secret = secrets.token_urlsafe(32)
    try:
        await worker.kernel.save_record(bundle, secret_hash(secret))
    except OSError as error:
        log.warning("Could not keep a worker for the next server: %s", error)
        return
    worker.token = secret_hash(secret)
    worker.link.say(ReconnectGrant(secret=secret, seconds=seconds))


async def adopt(
    survivor: OrphanedWorker, rendezvous: WorkerRegistration, folder: Path
) -> Worker | None:
    """Wait for a worker of a former server to dial; ``None`` if it does not."""
    found = await _arrival(survivor.token, rendezvous, survivor.kernel.alive)
    if found is None:
        log.warning("A worker from before the server's start did not reconnect.")
        return None
    log.info("Took over a running worker of bundle %s.", survivor.bundle[:12])
    return Worker(survivor.kernel, found.link, found.specs, folder)


async def again(worker: Worker, rendezvous: WorkerRegistration) -> Worker | None:
    """Wait for a worker that lost its link to dial again; ``None`` if it does not, or cannot."""
    if worker.cause or not worker.token or not await worker.kernel.may_reconnect():
        return None
    log.info("The connection to a worker was lost; waiting for it to reconnect.")
    found = await _arrival(worker.token, rendezvous, worker.kernel.may_reconnect)
    if found is None:
        return None
    return Worker(worker.kernel, found.link, found.specs, worker.folder, worker.started)


async def _arrival(
    token: str, rendezvous: WorkerRegistration, there: Callable[[], Awaitable[bool]]
) -> RegisteredWorker | None:
    """Wait for a worker to dial, as long as it is ``there`` and not too long."""
    arrival = rendezvous.expect_again(token)
    until = time.monotonic() + RETURN_TIMEOUT
    try:
        while not (await asyncio.wait({arrival}, timeout=liveness.ALIVE_EVERY))[0]:
            if not await there() or time.monotonic() > until:
                return None
    finally:
        rendezvous.forget(token)
    return arrival.result()
