"""Live services: what authors' kernels currently offer."""

import time
from dataclasses import dataclass, field

from easymlnb.contract.errors import NameTaken, WorkerLost
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.dispatch.worker_link import WorkerLink


@dataclass(slots=True)
class LiveService:
    """A service that a kernel answers as its cell stands now."""

    spec: ServiceSpec
    link: WorkerLink
    pool: Dispatcher
    since: float = field(default_factory=time.time)
    """When it was first offered, in seconds since the epoch."""


class LiveServices:
    """Names and the kernels that answer them. A name belongs to one notebook at a time."""

    def __init__(self, queue_limit: int) -> None:
        self._queue_limit = queue_limit
        self._services: dict[str, LiveService] = {}

    def get(self, name: str) -> LiveService | None:
        return self._services.get(name)

    def all(self) -> list[LiveService]:
        return [self._services[name] for name in sorted(self._services)]

    def offer(self, link: WorkerLink, spec: ServiceSpec) -> None:
        """Take a service in, or renew it; raises ``NameTaken`` if another notebook has the name."""
        old = self._services.get(spec.name)
        if old is not None and not _same_notebook(old.link, link):
            raise NameTaken(
                f"Another notebook already serves a live service named {spec.name!r} "
                f"({old.link.hello.source.rpartition('/')[2] or 'unnamed'}). Choose another "
                "name, or stop that notebook's kernel."
            )
        if old is not None and old.link is link:
            # Calls in line stay there and meet the new code.
            old.spec = spec
            old.pool.resize(link, spec.workers)
            return
        if old is not None:
            self._leave(old)
        pool = Dispatcher(self._queue_limit)
        pool.join(link, spec.workers)
        self._services[spec.name] = LiveService(spec, link, pool)

    def withdraw(self, link: WorkerLink, name: str) -> None:
        """Take a service away, if this kernel is the one that serves it."""
        service = self._services.get(name)
        if service is not None and service.link is link:
            self._leave(self._services.pop(name))

    def drop(self, link: WorkerLink) -> None:
        """Take away all that a kernel served: it is gone."""
        for name in [name for name, service in self._services.items() if service.link is link]:
            self._leave(self._services.pop(name))

    def _leave(self, service: LiveService) -> None:
        service.pool.leave(service.link)
        service.pool.fail_queued(
            WorkerLost("The notebook that ran this service is gone. Try again.")
        )


def _same_notebook(old: WorkerLink, new: WorkerLink) -> bool:
    if old is new or old.hello.kernel == new.hello.kernel:
        return True
    return bool(new.hello.source) and old.hello.source == new.hello.source
