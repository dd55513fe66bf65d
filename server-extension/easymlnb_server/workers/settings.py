"""Settings that all deployments of a server share."""

import asyncio
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``folder`` is where workers get theirs, ``gate`` bounds how many start at once.

    ``start_timeout`` is the seconds that a worker may take to get ready, ``queue_limit`` the calls
    that may wait. ``memory`` is what a worker may take whose service says nothing of it, in bytes,
    0 for no limit. ``stay`` is how many seconds workers wait for the next server when this one is
    gone, 0 to let them end with it.
    """

    folder: Path
    gate: asyncio.Semaphore
    start_timeout: float = 600.0
    queue_limit: int = 64
    memory: int = 0
    stay: float = 60.0
