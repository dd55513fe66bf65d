"""Live services: those that authors' kernels currently serve."""

import time
from dataclasses import dataclass, field

from easymlnb.contract.errors import NameTaken, WorkerLost
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.dispatch.worker_link import WorkerLink


@dataclass(slots=True)
class LiveService:
    """A service that an author's kernel serves with its current code."""

    spec: ServiceSpec
    link: WorkerLink
    dispatcher: Dispatcher
    since: float = field(default_factory=time.time)
    """Time of the registration, in seconds since 1970."""


class LiveServices:
    """Live services by name. A name belongs to one notebook at a time."""

    def __init__(self, queue_limit: int) -> None:
        self._queue_limit = queue_limit
        self._services: dict[str, LiveService] = {}

    def get(self, name: str) -> LiveService | None:
        return self._services.get(name)

    def all(self) -> list[LiveService]:
        return [self._services[name] for name in sorted(self._services)]

    def offer(self, link: WorkerLink, spec: ServiceSpec) -> None:
        """Add or update a service; raises ``NameTaken`` if another notebook has the name."""
        old = self._services.get(spec.name)
        if old is not None and not _same_notebook(old.link, link):
            raise NameTaken(
                f"Another notebook already serves a live service named {spec.name!r} "
                f"({old.link.hello.source.rpartition('/')[2] or 'unnamed'}). Choose another "
                "name, or stop that notebook's kernel."
            )
        if old is not None and old.link is link:
            # Calls in the queue stay there and run the new code.
            old.spec = spec
            old.dispatcher.resize(link, spec.workers)
            return
        if old is not None:
            self._leave(old)
        dispatcher = Dispatcher(self._queue_limit)
        dispatcher.join(link, spec.workers)
        self._services[spec.name] = LiveService(spec, link, dispatcher)

    def withdraw(self, link: WorkerLink, name: str) -> None:
        """Remove a service, if this kernel serves it."""
        service = self._services.get(name)
        if service is not None and service.link is link:
            self._leave(self._services.pop(name))

    def drop(self, link: WorkerLink) -> None:
        """Remove all services of a kernel that is gone."""
        for name in [name for name, service in self._services.items() if service.link is link]:
            self._leave(self._services.pop(name))

    def _leave(self, service: LiveService) -> None:
        service.dispatcher.leave(service.link)
        service.dispatcher.fail_queued(
            WorkerLost("The notebook that ran this service is gone. Try again.")
        )


def _same_notebook(old: WorkerLink, new: WorkerLink) -> bool:
    if old is new or old.hello.kernel == new.hello.kernel:
        return True
    return bool(new.hello.source) and old.hello.source == new.hello.source
