"""Give workers the new version under an alias, one worker after the other."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from easymlnb.contract.model_protocol import (
    LoadedModel,
    ModelLoaded,
    ModelMoved,
    ModelReady,
    ModelSwap,
)
from easymlnb_server.dispatch.worker_link import WorkerLink

LOAD_SECONDS = 900.0
"""Seconds that the next worker waits for one that loads a version."""

IDLE_SECONDS = 10.0
"""Seconds that a worker gets no calls, so that it can swap; then it is the turn of the others.

Without others it gets calls for as long, before the next attempt.
"""

log = logging.getLogger("easymlnb.models")


@dataclass(slots=True)
class ServedModel:
    """What a worker has loaded as ``ref``: ``version``, or why not ``wanted``.

    - ``ready``: a version that it has loaded and does not use yet
    - ``exclusive``: whether its other calls have to end before it loads a version
    - ``swapping``: the version that it is about to use, 0 for none
    - ``postponed``: how often it was too busy for that
    """

    model: str
    ref: str
    version: int
    wanted: int
    error: str = ""
    ready: int = 0
    exclusive: bool = False
    swapping: int = 0
    postponed: int = 0

    def want(self, version: int) -> None:
        """Begin with another version."""
        self.wanted, self.error = version, ""
        self.ready = self.postponed = 0

    @property
    def behind(self) -> bool:
        return self.wanted != self.version and not self.error


@dataclass(eq=False, slots=True)
class _Worker:
    """A connected worker that loads models."""

    link: WorkerLink
    services: Callable[[], tuple[str, ...]]
    token: str
    models: dict[tuple[str, str], ServedModel] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until something holds, or the worker is gone."""
        while not self.link.lost and not done():
            self.changed.clear()
            waits = [
                asyncio.ensure_future(self.changed.wait()),
                asyncio.ensure_future(self.link.closed.wait()),
            ]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waits:
                    one.cancel()


class Rollout:
    """The workers that load models, and the versions that they should have."""

    def __init__(self) -> None:
        self._workers: dict[WorkerLink, _Worker] = {}
        self._moving: dict[str, asyncio.Task[None]] = {}

    def follows(self, model: str) -> bool:
        """Return whether a worker has loaded a version of the model."""
        return any(key[0] == model for one in self._workers.values() for key in one.models)

    def subscribe(
        self,
        link: WorkerLink,
        services: Callable[[], tuple[str, ...]],
        token: str,
        loaded: tuple[LoadedModel, ...],
    ) -> None:
        """Note what a worker has loaded; ``token`` lets it read the next versions."""
        self._prune()
        worker = self._workers.setdefault(link, _Worker(link, services, token))
        for model, ref, version in loaded:
            worker.models[model, ref] = ServedModel(model, ref, version, version)

    def move(self, model: str, targets: Mapping[str, int]) -> None:
        """Let all workers load the versions that the aliases of a model name."""
        self._prune()
        for worker in self._workers.values():
            for served in worker.models.values():
                wanted = targets.get(served.ref)
                if served.model == model and wanted is not None and wanted != served.wanted:
                    served.want(wanted)
                    if not served.behind:  # drop what was loaded in between
                        worker.link.send(_moved(worker, served))
                    worker.changed.set()
        self._start(model)

    def ready(self, link: WorkerLink, message: ModelReady) -> None:
        """Note that a worker has loaded a version, which it does not use yet."""
        worker, served = self._find(link, message)
        if worker is not None and served is not None:
            served.ready, served.exclusive = message.version, message.exclusive
            worker.changed.set()

    def _find(
        self, link: WorkerLink, message: ModelReady | ModelLoaded
    ) -> tuple[_Worker | None, ServedModel | None]:
        worker = self._workers.get(link)
        key = (message.model, message.ref)
        return worker, worker.models.get(key) if worker is not None else None

    def report(self, link: WorkerLink, message: ModelLoaded) -> None:
        """Note that a worker uses a version, or why it does not."""
        worker, served = self._find(link, message)
        if worker is None or served is None:
            return
        if message.version == served.swapping:
            served.swapping = 0
        if not message.error:
            served.version = message.version
        elif message.version == served.wanted:
            served.error = message.error
            log.warning(
                "A worker could not load version %d of the model %s and serves version %d: %s",
                message.version,
                message.model,
                served.version,
                message.error,
            )
        worker.changed.set()
        if served.behind:
            self._start(served.model)

    def serving(self, model: str) -> list[tuple[tuple[str, ...], ServedModel]]:
        """Return what each worker has loaded of a model, with the names of its services."""
        self._prune()
        return [
            (worker.services(), served)
            for worker in self._workers.values()
            for served in worker.models.values()
            if served.model == model
        ]

    async def close(self) -> None:
        """Stop telling workers."""
        self._workers.clear()  # so that no task starts again
        tasks = list(self._moving.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, model: str) -> None:
        if model not in self._moving:
            task = self._moving[model] = asyncio.create_task(self._run(model))
            task.add_done_callback(lambda done: self._ended(model))

    def _ended(self, model: str) -> None:
        self._moving.pop(model, None)
        if self._next(model) is not None:
            self._start(model)

    async def _run(self, model: str) -> None:
        while (found := self._next(model)) is not None:
            if found[1].postponed:  # all that are left were too busy: let calls in for a while
                await asyncio.sleep(IDLE_SECONDS)
                found = self._next(model)
            if found is not None:
                await self._load(*found)

    async def _load(self, worker: _Worker, served: ServedModel) -> None:
        """Let one worker load a version and use it, and wait until it has answered."""
        wanted, link = served.wanted, worker.link
        link.loading = True
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                if served.ready != wanted:
                    link.send(_moved(worker, served))
                    await worker.until(lambda: served.ready == wanted or _is_over(served, wanted))
                if not link.lost and not _is_over(served, wanted):
                    await self._swap(worker, served, wanted)
        except TimeoutError:
            served.error = f"The worker did not load the version within {LOAD_SECONDS:g} s."
        finally:
            link.loading = False

    async def _swap(self, worker: _Worker, served: ServedModel, wanted: int) -> None:
        """Let a worker without calls use what it has loaded; calls go to the others."""
        link, whole = worker.link, served.exclusive
        with link.pause(whole=whole):
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await link.wait_idle(whole=whole)
            except TimeoutError:
                served.postponed += 1
                return
            if link.lost or served.wanted != wanted:
                return
            served.swapping = wanted
            link.send(ModelSwap(model=served.model, ref=served.ref, version=wanted))
            # Even if the alias moves meanwhile: it is the end of this swap that lets calls in.
            await worker.until(lambda: not served.swapping)

    def _next(self, model: str) -> tuple[_Worker, ServedModel] | None:
        """Return what to load next; workers that are busy come last."""
        self._prune()
        behind = [
            (worker, served)
            for worker in self._workers.values()
            for served in worker.models.values()
            if served.model == model and served.behind
        ]
        return min(behind, key=lambda found: found[1].postponed, default=None)

    def _prune(self) -> None:
        for link in [link for link in self._workers if link.lost]:
            del self._workers[link]


def _moved(worker: _Worker, served: ServedModel) -> ModelMoved:
    return ModelMoved(model=served.model, ref=served.ref, version=served.wanted, token=worker.token)


def _is_over(served: ServedModel, wanted: int) -> bool:
    """Return whether a version is no longer to be loaded, or failed to."""
    return served.wanted != wanted or not served.behind
