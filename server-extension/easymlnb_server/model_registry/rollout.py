"""Give workers the new version under an alias, one worker after the other."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from easymlnb.contract.model_protocol import LoadedModel, ModelLoaded, ModelMoved
from easymlnb_server.dispatch.worker_link import WorkerLink

LOAD_SECONDS = 900.0
"""Seconds that the next worker waits for one that loads a version."""

log = logging.getLogger("easymlnb.models")


@dataclass(slots=True)
class ServedModel:
    """What a worker has loaded as ``ref``: ``version``, or why not ``wanted``."""

    model: str
    ref: str
    version: int
    wanted: int
    error: str = ""

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
                    served.wanted, served.error = wanted, ""
                    worker.changed.set()
        self._start(model)

    def report(self, link: WorkerLink, message: ModelLoaded) -> None:
        """Note that a worker has loaded a version, or why it has not."""
        worker = self._workers.get(link)
        served = worker.models.get((message.model, message.ref)) if worker is not None else None
        if worker is None or served is None:
            return
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
            worker, served = found
            await self._load(worker, served)

    async def _load(self, worker: _Worker, served: ServedModel) -> None:
        """Let one worker load a version, and wait until it has answered."""
        wanted = served.wanted
        message = ModelMoved(model=served.model, ref=served.ref, version=wanted, token=worker.token)
        worker.link.send(message)
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                while not worker.link.lost and served.wanted == wanted and served.behind:
                    worker.changed.clear()
                    waits = [
                        asyncio.ensure_future(worker.changed.wait()),
                        asyncio.ensure_future(worker.link.closed.wait()),
                    ]
                    try:
                        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for one in waits:
                            one.cancel()
        except TimeoutError:
            served.error = f"The worker did not load the version within {LOAD_SECONDS:g} s."

    def _next(self, model: str) -> tuple[_Worker, ServedModel] | None:
        self._prune()
        for worker in self._workers.values():
            for served in worker.models.values():
                if served.model == model and served.behind:
                    return worker, served
        return None

    def _prune(self) -> None:
        for link in [link for link in self._workers if link.lost]:
            del self._workers[link]
