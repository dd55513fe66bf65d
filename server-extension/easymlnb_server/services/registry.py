"""All services, live and published, and where their calls go."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from msgspec import UNSET
from msgspec.structs import replace

from easymlnb.contract.errors import ServiceNotFound
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.dispatch.dispatcher import Dispatcher
from easymlnb_server.identity import names as naming
from easymlnb_server.identity.access import Action, Caller, may
from easymlnb_server.publishing.publisher import Publisher
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.models import PublishedService
from easymlnb_server.services.responses import ServiceNames, ServiceState, ServiceStatus

LIVE: Final = "live"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes. ``version`` is a number or ``"live"``; ``kernel`` a live one's id."""

    spec: ServiceSpec
    pool: Dispatcher
    version: str
    kernel: str = ""

    @property
    def name(self) -> str:
        return self.spec.name


class ServiceRegistry:
    """Reads both tables: a published version answers a name, else the notebook that is live.

    ``shared`` says that this is a service for many: names begin with their owners', and ``may``
    decides. Else whoever got in is ``account``, whose services all are.
    """

    def __init__(
        self,
        live: LiveServices,
        publications: Publisher,
        *,
        shared: bool = False,
        account: str = "",
    ) -> None:
        self.shared = shared
        self.user = Caller(account, admin=True)
        """Who everybody is that got in, unless many share it."""
        self._live = live
        self._publications = publications
        self._derived: dict[str, tuple[ServiceSpec, Any]] = {}
        self.draining = False
        """Whether the server stops: calls that run are answered, new ones are refused."""

    def target(self, name: str, *, live: bool = False) -> Target:
        """Return who answers this name; ``live`` asks for the notebook even if it is published.

        Whether somebody may know of it is for ``target_for``. Raises ``ServiceNotFound``, or
        ``NotReady`` where published services are not served from this process.
        """
        serving = None if live else self._publications.serving.get(name)
        if serving is not None:
            self._publications.guard()
            return Target(serving.spec, serving.deployment.pool, str(serving.version))
        here = self._live.get(name)
        if here is None:
            if not live:
                self._publications.check()
            raise ServiceNotFound(name)
        return Target(here.spec, here.pool, LIVE, here.link.hello.kernel)

    def target_for(
        self, caller: Caller | None, name: str, action: Action, *, live: bool = False
    ) -> Target:
        """Return who answers this name for somebody who wants to do that with it.

        Raises ``ServiceNotFound``, the same whether there is none or the caller may not; while a
        shared service starts it does not know, and raises ``NotReady``.
        """
        if not self.allows(caller, name, action):
            self._publications.check()
            now = self._moved(name)
            raise ServiceNotFound(name, now if self.allows(caller, now, Action.SEE) else "")
        return self.target(name, live=live)

    def _moved(self, name: str) -> str:
        """Return the name that a service has since it changed hands; empty if it did not."""
        moved, seen = self._publications.moved, set[str]()
        found = ""
        while (following := moved.get(found or name)) and following not in seen:
            seen.add(following)
            found = following
        return found

    def allows(self, caller: Caller | None, name: str, action: Action) -> bool:
        """Say whether somebody may do something with a service; not if there is none."""
        if not self.shared:
            return True
        serving = self._publications.serving.get(name)
        return serving is not None and may(caller, serving.owner, serving.access, action)

    def public(self, name: str) -> bool:
        """Say whether a service's page is open to visitors without a login.

        Only what is published is: a cell that runs may be an unfinished draft.
        """
        if self.shared:
            return self.allows(None, name, Action.CALL)
        serving = self._publications.serving.get(name)
        return serving is not None and serving.spec.public

    def replaced(self, target: Target) -> bool:
        """Say whether another version has taken the place of the one that a call was sent to."""
        serving = self._publications.serving.get(target.spec.name)
        gone = target.pool.closed and target.version != LIVE
        return gone and serving is not None and serving.deployment.pool is not target.pool

    def names(self, caller: Caller | None) -> list[str]:
        """Return all names that somebody may know of, sorted."""
        live = (service.spec.name for service in self._live.all())
        everything = sorted({*self._publications.serving, *live})
        return [name for name in everything if self.allows(caller, name, Action.SEE)]

    def specs(self, caller: Caller | None) -> list[ServiceSpec]:
        """Return the spec of each of these names as a call would meet it."""
        return [self.target(name).spec for name in self.names(caller)]

    def named(self, name: str, caller: Caller | None) -> ServiceNames:
        """Return a service's names, owner, whether it is public, and who may call it.

        The last only for those who manage it.
        """
        serving = self._publications.serving.get(name)
        own = self.shared and serving is not None and self.allows(caller, name, Action.MANAGE)
        return ServiceNames(
            name=naming.plain(name),
            full_name=name,
            owner=serving.owner if serving is not None else self.user.name,
            public=self.public(name),
            shared=serving.access if own and serving is not None else UNSET,
        )

    def derived(self, name: str, make: Callable[[ServiceSpec], T]) -> T:
        """Return what ``make`` derives from a name's spec, once for as long as the spec answers.

        Raises ``ServiceNotFound``.
        """
        spec = self.target(name).spec
        known = self._derived.get(name)
        if known is None or known[0] is not spec:
            # One that is gone is not kept for longer than until the next change.
            serving = self._publications.serving
            self._derived = {
                one: kept
                for one, kept in self._derived.items()
                if one in serving or self._live.get(one) is not None
            }
            known = self._derived[name] = (spec, make(spec))
        found: T = known[1]
        return found

    def created(self, name: str) -> float:
        """Return when what answers a name was published or made live, in seconds; 0 unknown."""
        serving = self._publications.serving.get(name)
        if serving is not None:
            return serving.created
        here = self._live.get(name)
        return here.since if here else 0.0

    def state(self, name: str, caller: Caller | None) -> ServiceState:
        """Return the state of a service; its bundle and its error only for those who manage it."""
        here = self._live.get(name)
        serving = self._publications.serving.get(name)
        if serving is None:
            pool = here.pool if here else None
            busy = pool is not None and pool.waiting
            return ServiceState(state="busy" if busy else LIVE, version=None, live=True)
        own = self.allows(caller, name, Action.MANAGE)
        return _published(serving, own, live=here is not None)


def _published(serving: PublishedService, own: bool, *, live: bool) -> ServiceState:
    deployment = serving.deployment
    state = cast("ServiceStatus", deployment.state)
    busy = state == "ready" and deployment.pool.waiting
    found = ServiceState(state="busy" if busy else state, version=serving.version, live=live)
    if not own:
        return found
    error, wait = deployment.breaker.error, deployment.breaker.retry_in
    failed = error is not None and state == "failed"
    return replace(
        found,
        bundle=serving.bundle,
        error=error.to_dict()["error"] if failed and error is not None else UNSET,
        reason=deployment.reason or UNSET,
        retry_in=round(wait, 1) if wait else UNSET,
    )
