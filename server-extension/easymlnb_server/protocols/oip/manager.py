"""Services as the models of a repository: what they are, their states, load and unload."""

import asyncio

from easymlnb.contract.errors import BadRequest, DeploymentFailed, EasyMLNBError, NotReady
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import Action, Caller
from easymlnb_server.observability.metrics import Metrics
from easymlnb_server.protocols.oip.models import ModelMetadata, ModelState
from easymlnb_server.protocols.oip.statistics import AllStatistics, ModelStatistics
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.services.registry import LIVE, Selection, ServiceRegistry

LOAD_TIMEOUT = 600.0
"""Seconds that a worker may take to start."""

STATES = {
    "ready": "READY",
    "busy": "READY",
    LIVE: "READY",
    "starting": "LOADING",
    "asleep": "UNAVAILABLE",
    "failed": "UNAVAILABLE",
}
"""State of a service -> state of a model."""

REASONS = {
    "asleep": "The service sleeps; the next call starts a worker.",
    "failed": "The service failed to start.",
}


class ModelRepository:
    """Describes services as models, counts their calls, wakes them, and lets them sleep."""

    def __init__(
        self, services: ServiceRegistry, published: PublishedServices, metrics: Metrics
    ) -> None:
        self._services = services
        self._published = published
        self._metrics = metrics

    async def describe(
        self, name: str, caller: Caller | None, version: str = ""
    ) -> tuple[ServiceSpec, ModelMetadata]:
        """Return a service that a caller may know of; raises ``ServiceNotFound``, ..."""
        selection = Selection(version=version)
        self._services.resolve(name, caller, Action.SEE)
        if version:
            await self._services.wake(name, version)
        spec = self._services.resolve(name, caller, Action.SEE, selection=selection).spec
        return spec, ModelMetadata.of(spec, self._versions(name))

    def names(self, caller: Caller | None) -> tuple[str, ...]:
        return tuple(self._services.names(caller))

    def index(self, caller: Caller | None, *, ready: bool = False) -> list[ModelState]:
        """Return the states of a caller's models; with ``ready``, only of those that answer."""
        states = [self.state(name, caller) for name in self._services.names(caller)]
        return [one for one in states if one.state == "READY" or not ready]

    def state(self, name: str, caller: Caller | None) -> ModelState:
        """Return the state of a service, which must exist."""
        found = self._services.state(name, caller)
        version = LIVE if found.version is None else str(found.version)
        reason = found.reason if isinstance(found.reason, str) else REASONS.get(found.state, "")
        state = STATES[found.state]
        return ModelState(
            name=name, version=version, state=state, reason="" if state == "READY" else reason
        )

    def answers(self, name: str, caller: Caller | None) -> bool:
        """Return whether a call of a service is answered, if need be once a worker started.

        Raises ``ServiceNotFound``.
        """
        self._services.resolve(name, caller, Action.SEE)
        state = self._services.state(name, caller).state
        return state == "asleep" or STATES[state] == "READY"

    def statistics(self, caller: Caller | None, name: str = "", version: str = "") -> AllStatistics:
        """Return the statistics of a caller's own models, or of one, or of one of its versions.

        Raises ``ServiceNotFound`` for a model that the caller does not manage, ...
        """
        names = [name] if name else self._services.names(caller)
        if not name:
            names = [one for one in names if self._services.allows(caller, one, Action.MANAGE)]
        found = [(one, number) for one in names for number in self._chosen(one, caller, version)]
        return AllStatistics(
            model_stats=tuple(
                ModelStatistics.of(one, number, self._metrics.numbers(one, number))
                for one, number in found
            )
        )

    def _chosen(self, name: str, caller: Caller | None, version: str) -> tuple[str, ...]:
        """Return the version that is named, or all; raises ``ServiceNotFound``, ..."""
        self._services.resolve(name, caller, Action.MANAGE)
        if not version:
            return self._versions(name)
        service = self._published.get(name)
        if service is not None:
            return (str(service.find(version)),)
        selection = Selection(version=version)
        return (self._services.resolve(name, caller, Action.MANAGE, selection=selection).version,)

    async def load(self, name: str, caller: Caller | None) -> None:
        """Start a worker if there is none, and wait for it; raises ``DeploymentFailed``, ..."""
        self._services.resolve(name, caller, Action.MANAGE)
        service = self._published.get(name)
        if service is None:
            return
        demand = service.current.deployment.demand
        async with demand.kept_warm():
            try:
                async with asyncio.timeout(LOAD_TIMEOUT):
                    await demand.wait_ready()
            except TimeoutError as error:
                raise NotReady(f"No worker was ready within {LOAD_TIMEOUT:g} s.") from error
            except EasyMLNBError as error:
                raise DeploymentFailed(error.message, details=error.details) from error

    def unload(self, name: str, caller: Caller | None) -> None:
        """End the workers of a service once their calls have ended, until the next call.

        Raises ``BadRequest`` for a service that only runs in its author's notebook.
        """
        self._services.resolve(name, caller, Action.MANAGE)
        service = self._published.get(name)
        if service is None:
            raise BadRequest(f"{name!r} runs in a notebook. Only published services can sleep.")
        service.current.deployment.demand.rest()

    def _versions(self, name: str) -> tuple[str, ...]:
        service = self._published.get(name)
        return (LIVE,) if service is None else tuple(map(str, sorted(service.numbers)))
