"""The services there are, live and published, and where a call to one goes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from easymlnb.contract.errors import ServiceNotFound
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.engine.live import LiveTable
from easymlnb_server.engine.pool import Pool
from easymlnb_server.publications import Publications, Serving

LIVE = "live"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes. ``version`` is a number or ``"live"``; ``kernel`` a live one's id."""

    spec: ServiceSpec
    pool: Pool
    version: str
    kernel: str = ""


class Services:
    """Reads both tables: a published version answers a name, else the notebook that is live."""

    def __init__(self, live: LiveTable, publications: Publications) -> None:
        self._live = live
        self._publications = publications
        self._derived: dict[str, tuple[ServiceSpec, dict[str, Any]]] = {}
        self.draining = False
        """Whether the server stops: calls that run are answered, new ones are refused."""

    def target(self, name: str, *, live: bool = False) -> Target:
        """Return who answers this name; ``live`` asks for the notebook even if it is published.

        Raises ``ServiceNotFound``.
        """
        serving = None if live else self._publications.serving.get(name)
        if serving is not None:
            return Target(serving.spec, serving.deployment.pool, str(serving.version))
        here = self._live.get(name)
        if here is None:
            raise ServiceNotFound(name)
        return Target(here.spec, here.pool, LIVE, here.link.hello.kernel)

    def replaced(self, target: Target) -> bool:
        """Say whether another version has taken the place of the one that a call was sent to."""
        serving = self._publications.serving.get(target.spec.name)
        gone = target.pool.closed and target.version != LIVE
        return gone and serving is not None and serving.deployment.pool is not target.pool

    def names(self) -> list[str]:
        """Return all names, sorted."""
        live = (service.spec.name for service in self._live.all())
        return sorted({*self._publications.serving, *live})

    def specs(self) -> list[ServiceSpec]:
        """Return the spec of every name as a call would meet it."""
        return [self.target(name).spec for name in self.names()]

    def summary(self, name: str) -> dict[str, Any]:
        """Return a service's line in a list; raises ``ServiceNotFound``."""
        spec = self.target(name).spec
        return {
            "name": name,
            "title": spec.title,
            "description": spec.description,
            "tags": list(spec.tags),
            "author": spec.author,
            "url": f"services/{name}",
            **self.state(name),
        }

    def derived(self, name: str, make: Callable[[ServiceSpec], dict[str, Any]]) -> dict[str, Any]:
        """Return what ``make`` says of a name's spec, worked out once for as long as it answers.

        Raises ``ServiceNotFound``.
        """
        spec = self.target(name).spec
        known = self._derived.get(name)
        if known is None or known[0] is not spec:
            there = set(self.names())
            self._derived = {one: kept for one, kept in self._derived.items() if one in there}
            known = self._derived[name] = (spec, make(spec))
        return known[1]

    def created(self, name: str) -> float:
        """Return when what answers a name was published or made live, in seconds; 0 unknown."""
        serving = self._publications.serving.get(name)
        if serving is not None:
            return serving.created
        here = self._live.get(name)
        return here.since if here else 0.0

    def state(self, name: str) -> dict[str, Any]:
        """Return ``state``, ``version`` and ``live`` of a service, and why it failed if it did."""
        here = self._live.get(name)
        serving = self._publications.serving.get(name)
        if serving is None:
            pool = here.pool if here else None
            state = "busy" if pool is not None and pool.waiting else LIVE
            return {"state": state, "version": None, "live": True}
        return {**_published(serving), "version": serving.version, "live": here is not None}


def _published(serving: Serving) -> dict[str, Any]:
    deployment = serving.deployment
    found: dict[str, Any] = {"state": deployment.state, "bundle": serving.bundle}
    if deployment.state == "ready" and deployment.pool.waiting:
        found["state"] = "busy"
    if deployment.breaker.error is not None and deployment.state == "failed":
        found["error"] = deployment.breaker.error.to_dict()["error"]
    if deployment.reason:
        found["reason"] = deployment.reason
    if wait := deployment.breaker.retry_in:
        found["retry_in"] = round(wait, 1)
    return found
