"""Bundles that a server publishes when it starts: what a container image serves."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import BundleRejected, EasyMLNBError
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.store.records import BundleState

READY = ("ready", "asleep")
"""States of a version that can answer calls; one that is asleep wakes for the first call."""

log = logging.getLogger("easymlnb.bundles")


class PreloadedBundles:
    """Publishes given bundles, and knows whether all of their services can answer.

    Parameters
    ----------
    publisher
        Publishes the bundles.
    paths
        Files, or folders with zip files; none on other servers.
    owner
        The owner of the services.
    """

    def __init__(self, publisher: Publisher, paths: Sequence[str], owner: str) -> None:
        self.failure = ""
        """Why a bundle does not start, as a sentence."""
        self._publisher = publisher
        self._paths = [Path(path) for path in paths]
        self._owner = owner
        self._published = not paths

    @property
    def ready(self) -> bool:
        """Whether all services of the bundles can answer calls."""
        if not self._paths:
            return True
        versions = self._publisher.published.versions()
        return self._published and all(one.deployment.state in READY for one in versions)

    async def run(self, on_failure: Callable[[], None]) -> None:
        """Publish the bundles; call ``on_failure`` if one of them does not start."""
        try:
            files = await asyncio.to_thread(bundle_files, self._paths)
            started = [(file, await self._start(file)) for file in files]
            for file, id in started:
                await self._wait(file, id)
        except EasyMLNBError as error:
            self.failure = error.message
            log.critical("%s", error.message)
            on_failure()
            return
        self._published = True

    async def _start(self, file: Path) -> str:
        try:
            data = await asyncio.to_thread(file.read_bytes)
        except OSError as error:
            raise BundleRejected(f"Cannot read the bundle {file} ({error.strerror}).") from error
        try:
            stored = await self._publisher.publish(data, (), self._owner)
        except BundleRejected as error:
            raise BundleRejected(f"The bundle {file} cannot be served. {error.message}") from error
        return stored.id

    async def _wait(self, file: Path, id: str) -> None:
        await self._publisher.wait_started(id)
        stored = await self._publisher.bundle(id)
        if stored.state is not BundleState.READY:
            raise BundleRejected(f"The bundle {file} does not start. {_reason(stored.error or {})}")
        names = ", ".join(one.service for one in await self._publisher.provided(id))
        log.info("Serving %s from %s", names, file)


def bundle_files(paths: Sequence[Path]) -> list[Path]:
    """Return the bundles that these paths name; raises ``BundleRejected`` for one without any."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(path.glob("*.zip"))
        if not inside:
            raise BundleRejected(f"The folder {path} has no bundle, which is a .zip file.")
        found += inside
    return found


def _reason(error: Mapping[str, Any]) -> str:
    """Return the message of a failed start, with the traceback of the cell that failed."""
    message = str(error.get("message") or "See the log above.")
    traceback = error.get("traceback")
    return f"{message}\n{traceback}" if traceback else message
