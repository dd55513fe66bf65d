"""Workers that outlive their server: told how to come back, and taken over by the next one.

A worker gets a secret over its link; the server keeps only the hash of it, in the note on the
worker's process. When the link is lost the worker dials again, for a while, with that secret.
"""

import asyncio
import logging
import secrets
import time
from pathlib import Path

from easymlnb.contract.frames import Return
from easymlnb_server.engine import presence
from easymlnb_server.engine.rendezvous import Rendezvous, token_of
from easymlnb_server.engine.workers import Worker
from easymlnb_server.placement.base import Survivor

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
        await worker.kernel.note(bundle, token_of(secret))
    except OSError as error:
        log.warning("A worker cannot be kept for the next server: %s", error)
        return
    worker.link.say(Return(secret=secret, seconds=seconds))


async def adopt(survivor: Survivor, rendezvous: Rendezvous, folder: Path) -> Worker | None:
    """Wait for a worker of a former server to dial; ``None`` if it does not."""
    arrival = rendezvous.expect_again(survivor.token)
    until = time.monotonic() + RETURN_TIMEOUT
    try:
        while not (await asyncio.wait({arrival}, timeout=presence.ALIVE_EVERY))[0]:
            if not await survivor.kernel.alive() or time.monotonic() > until:
                log.warning("A worker that ran before the server started did not come back.")
                return None
    finally:
        rendezvous.forget(survivor.token)
    found = arrival.result()
    log.info("A worker of bundle %s that ran already was taken over.", survivor.bundle[:12])
    return Worker(survivor.kernel, found.link, found.specs, folder)
