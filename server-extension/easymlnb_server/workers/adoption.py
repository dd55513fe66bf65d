"""Let workers outlive their server or a lost link, and reconnect.

The server gives each worker a secret over its link and stores only the secret's hash, in the
worker's process record. A worker that loses its link reconnects with that secret for a while: to
the next server, or to the same one after a proxy between them was down.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from easymlnb.contract.errors import DeploymentFailed
from easymlnb.contract.worker_protocol import ReconnectGrant
from easymlnb_server.placement.base import OrphanedWorker
from easymlnb_server.workers.liveness import wait_connected
from easymlnb_server.workers.registration import RegisteredWorker, WorkerRegistration, secret_hash
from easymlnb_server.workers.worker_set import Worker

RETURN_TIMEOUT = 30.0
"""Seconds that a running worker has to reconnect: more than it needs to stop a call whose caller is
gone. A waiting worker reconnects within one second."""

log = logging.getLogger("easymlnb.deployment")


async def grant_reconnect(worker: Worker, bundle: str, seconds: float) -> None:
    """Allow a worker to wait ``seconds`` for the next server after this one has ended.

    If the process record cannot be written, the worker serves but ends with this server.
    """
    if not seconds:
        return
    secret = secrets.token_urlsafe(32)
    try:
        await worker.kernel.save_record(bundle, secret_hash(secret))
    except OSError as error:
        log.warning("Could not keep a worker for the next server: %s", error)
        return
    worker.secret_hash = secret_hash(secret)
    worker.link.send(ReconnectGrant(secret=secret, seconds=seconds))


async def adopt(
    orphan: OrphanedWorker,
    registration: WorkerRegistration,
    folder: Path,
    seconds: float | None = None,
) -> Worker | None:
    """Wait for a worker of a former server to reconnect; return ``None`` if it does not."""
    returned = await _wait_return(orphan.token, registration, orphan.kernel.alive, seconds)
    if returned is None:
        log.warning("A worker from before the server's start did not reconnect.")
        return None
    log.info("Took over a running worker of bundle %s.", orphan.bundle[:12])
    return Worker(orphan.kernel, returned.link, returned.specs, folder)


async def wait_reconnect(
    worker: Worker, registration: WorkerRegistration, seconds: float | None = None
) -> Worker | None:
    """Wait for a worker that lost its link; return ``None`` if it cannot or does not reconnect."""
    kernel = worker.kernel
    if worker.cause or not worker.secret_hash or not await kernel.may_reconnect():
        return None
    log.info("The connection to a worker was lost; waiting for it to reconnect.")
    hashed = worker.secret_hash
    returned = await _wait_return(hashed, registration, kernel.may_reconnect, seconds)
    if returned is None:
        return None
    return Worker(kernel, returned.link, returned.specs, worker.folder, worker.started)


async def _wait_return(
    hashed: str,
    registration: WorkerRegistration,
    alive: Callable[[], Awaitable[bool]],
    seconds: float | None = None,
) -> RegisteredWorker | None:
    expected = registration.expect_return(hashed)
    try:
        timeout = RETURN_TIMEOUT if seconds is None else seconds
        return await wait_connected(expected, alive, timeout)
    except DeploymentFailed:
        return None
    finally:
        registration.forget(hashed)
