"""All services, live and published, and which of them answers a call."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from easymlnb.contract.errors import NotLoggedIn, NotReady, ServiceNotFound, VersionNotFound
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity import names as naming
from easymlnb_server.identity.access import Action, Caller, is_allowed
from easymlnb_server.identity.grants import KeyGrant
from easymlnb_server.services.live import LiveServices
from easymlnb_server.services.models import PublishedService, Target
from easymlnb_server.services.published import PublishedServices
from easymlnb_server.services.responses import ServiceNames, ServiceState, ServiceStatus

LIVE: Final = "live"

FOR_KEYS = (Action.SEE, Action.CALL)
"""What API keys and visitors may do, if anything."""

MIN_DERIVED = 100
"""Cached derivations from specs before those of removed services are looked for."""

T = TypeVar("T")


class Selector(Protocol):
    """What decides which version of a service answers a call; a ``CallRequest`` is one.

    - ``version``: the number or alias of the version that the caller pins; empty for none
    - ``owner``, ``headers``: the key of the caller, and the request's headers; one may decide
    - ``point``: a random number from 0 to 1, the same for the whole request
    """

    @property
    def version(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def point(self) -> float: ...


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """A ``Selector`` for what is not a call."""

    version: str = ""
    owner: str = ""
    headers: Mapping[str, str] = {}
    point: float = 0.0


DESCRIBING: Final[Selector] = Selection()
"""Selects the version that describes the service."""


async def _no_versions(name: str, number: int) -> None:
    raise VersionNotFound(str(number))


class ServiceRegistry:
    """Finds services by name: a published version answers first, else the live notebook.

    Parameters
    ----------
    live, published
        The two tables.
    shared
        Whether many users share this server: names then start with their owners', and access
        rules decide who may do what. Otherwise everyone who is logged in is ``account``.
    grant
        What ``account`` may do; default: everything.
    everyone
        Whether everyone who reaches the server is ``account``, without a login.
    wake_version
        Gives a version of a service a deployment.
    """

    def __init__(
        self,
        live: LiveServices,
        published: PublishedServices,
        *,
        shared: bool = False,
        account: str = "",
        grant: KeyGrant | None = None,
        everyone: bool = False,
        wake_version: Callable[[str, int], Awaitable[None]] = _no_versions,
    ) -> None:
        self.shared = shared
        self.user = Caller(account, admin=grant is None, key=grant)
        """The caller of every request, unless many users share this server."""
        self.everyone = everyone
        self.draining = False
        """Whether the server stops: running calls are answered, new ones are refused."""
        self._live = live
        self._published = published
        self._wake_version = wake_version
        self._derived: dict[str, tuple[ServiceSpec, Any]] = {}
        self._derived_limit = MIN_DERIVED

    def resolve(
        self,
        name: str,
        caller: Caller | None,
        action: Action,
        *,
        live: bool = False,
        selection: Selector = DESCRIBING,
    ) -> Target:
        """Return what answers a call of this name.

        Parameters
        ----------
        name
            The service; on a shared server with its owner.
        caller
            Who asks; ``None`` is a visitor without a login.
        action
            What the caller wants to do.
        live
            Ask for the notebook even if the service is published.
        selection
            Which of several versions; by default the one that describes the service.

        Raises
        ------
        ServiceNotFound
            There is no such service, or the caller may not know of it.
        NotLoggedIn
            The caller has an API key for other services.
        VersionNotFound
            There is no version with the number or alias that is selected.
        NotReady
            Published services are not served from this process, or not yet; or the version that is
            selected has no deployment, see ``wake``.
        """
        if not self.allows(caller, name, action):
            if caller is not None and caller.key is not None and not caller.key.matches(name):
                raise NotLoggedIn
            self._published.check()
            now = self._moved(name)
            raise ServiceNotFound(name, now if self.allows(caller, now, Action.SEE) else "")
        return self.find(name, live=live, selection=selection)

    def find(self, name: str, *, live: bool = False, selection: Selector = DESCRIBING) -> Target:
        """Return what answers a name, without checking access; raises as ``resolve`` does."""
        published = None if live else self._published.get(name)
        if published is not None:
            self._published.check()
            if selection is DESCRIBING:
                return published.targets[published.traffic.primary]
            return _select(published, name, selection)
        notebook = self._live.get(name)
        if notebook is None:
            if not live:
                self._published.check()
            raise ServiceNotFound(name)
        if selection.version and selection.version != LIVE:
            raise VersionNotFound(selection.version)
        return Target(notebook.spec, notebook.dispatcher, LIVE, notebook.link.hello.kernel)

    async def wake(self, name: str, version: str) -> None:
        """Give a version a deployment if it has none, so that a call can pin it.

        Does nothing for a service that is not published. Raises ``VersionNotFound``.
        """
        service = self._published.get(name)
        if service is None or version == LIVE:
            return
        number = service.find(version)
        if number not in service.versions:
            await self._wake_version(name, number)

    def _moved(self, name: str) -> str:
        """Return a service's present name if it was transferred to another owner, else ``""``."""
        moved, seen = self._published.moved, set[str]()
        found = ""
        while (following := moved.get(found or name)) and following not in seen:
            seen.add(following)
            found = following
        return found

    def allows(self, caller: Caller | None, name: str, action: Action) -> bool:
        """Return whether a caller may do something with a service; false if there is none."""
        key = caller.key if caller is not None else None
        if key is not None and (action not in FOR_KEYS or not key.matches(name)):
            return False
        if not self.shared:
            return caller is not None or (action in FOR_KEYS and self.public(name))
        service = self._published.get(name)
        return service is not None and is_allowed(caller, service.owner, service.access, action)

    def is_published(self, name: str) -> bool:
        """Return whether there is a published service of this name."""
        return name in self._published

    def public(self, name: str) -> bool:
        """Return whether visitors without a login may open a service's page.

        Only published services are public: a live cell may be an unfinished draft.
        """
        if self.shared:
            return self.allows(None, name, Action.CALL)
        service = self._published.get(name)
        return service is not None and service.current.spec.public

    def replaced(self, target: Target) -> bool:
        """Return whether other workers took over from those that a call was sent to."""
        service = self._published.get(target.spec.name)
        if service is None or not target.dispatcher.closed or target.version == LIVE:
            return False
        now = service.targets.get(int(target.version))
        return now is None or now.dispatcher is not target.dispatcher

    def successor(self, target: Target) -> Target:
        """Return the target whose queue a waiting call was moved to."""
        service = self._published.get(target.spec.name)
        return service.targets[service.traffic.primary] if service is not None else target

    def names(self, caller: Caller | None) -> list[str]:
        """Return all names that a caller may know of, sorted."""
        return [name for name in self.all_names() if self.allows(caller, name, Action.SEE)]

    def all_names(self) -> list[str]:
        """Return the names of all services, sorted."""
        live = (service.spec.name for service in self._live.all())
        return sorted({*self._published, *live})

    def specs(self, caller: Caller | None) -> list[ServiceSpec]:
        """Return the specs of all services that a caller may know of."""
        return [self.find(name).spec for name in self.names(caller)]

    def named(self, name: str, caller: Caller | None) -> ServiceNames:
        """Return a service's names, owner and whether it is public.

        Callers who manage the service also learn who may call it.
        """
        service = self._published.get(name)
        managed = self.shared and service is not None and self.allows(caller, name, Action.MANAGE)
        return ServiceNames(
            name=naming.short_name(name),
            full_name=name,
            owner=service.owner if service is not None else self.user.name,
            public=self.public(name),
            shared=service.access if managed and service is not None else UNSET,
        )

    def derived(self, name: str, make: Callable[[ServiceSpec], T]) -> T:
        """Return what ``make`` derives from a service's spec, cached until the spec changes.

        Raises ``ServiceNotFound``.
        """
        spec = self.find(name).spec
        known = self._derived.get(name)
        if known is None or known[0] is not spec:
            if len(self._derived) >= self._derived_limit:
                self._forget_derived()
            known = self._derived[name] = (spec, make(spec))
        derived: T = known[1]
        return derived

    def _forget_derived(self) -> None:
        """Drop what is cached of services that are gone."""
        self._derived = {
            name: cached
            for name, cached in self._derived.items()
            if name in self._published or self._live.get(name) is not None
        }
        self._derived_limit = 2 * len(self._derived) + MIN_DERIVED

    def created(self, name: str) -> float:
        """Return when a service was published or became live, in seconds; 0 if unknown."""
        service = self._published.get(name)
        if service is not None:
            return service.current.created
        notebook = self._live.get(name)
        return notebook.since if notebook else 0.0

    def state(self, name: str, caller: Caller | None) -> ServiceState:
        """Return a service's state; its bundle and error only to those who manage it."""
        notebook = self._live.get(name)
        service = self._published.get(name)
        if service is None:
            busy = notebook is not None and notebook.dispatcher.waiting
            return ServiceState(state="busy" if busy else LIVE, version=None, live=True)
        managed = self.allows(caller, name, Action.MANAGE)
        found = _state_of(service, managed, live=notebook is not None)
        quality = self._published.quality.get(service.current.bundle)
        return found if quality is None else replace(found, quality=quality)


def _select(service: PublishedService, name: str, selection: Selector) -> Target:
    if selection.version:
        number = service.find(selection.version)
        target = service.targets.get(number)
        if target is None:
            raise NotReady(f"Version {number} is being prepared. Try again in a moment.")
        return target
    policy = service.traffic
    if not policy.divided:
        return service.targets[policy.primary]
    key = policy.sticky_key(name, selection.owner, selection.headers)
    return service.targets[policy.choose(selection.point, key)]


def _state_of(service: PublishedService, managed: bool, *, live: bool) -> ServiceState:
    version = service.current
    deployment = version.deployment
    state = cast("ServiceStatus", deployment.state)
    busy = state == "ready" and deployment.dispatcher.waiting
    found = ServiceState(state="busy" if busy else state, version=version.number, live=live)
    if not managed:
        return found
    error, wait = deployment.breaker.error, deployment.breaker.retry_in
    failed = error is not None and state == "failed"
    return replace(
        found,
        bundle=version.bundle,
        error=error.to_dict()["error"] if failed and error is not None else UNSET,
        reason=deployment.reason or UNSET,
        retry_in=round(wait, 1) if wait else UNSET,
        drift=deployment.starter.drift or UNSET,
    )
