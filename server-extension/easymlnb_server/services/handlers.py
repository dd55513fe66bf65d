"""One service as data: specification, versions, log, access, removal."""

import asyncio
from collections.abc import Collection
from typing import ClassVar

from msgspec import UNSET, to_builtins
from msgspec.structs import replace
from tornado import web

from easymlnb.contract.errors import NotLoggedIn, NotShared
from easymlnb_server.http.base import EasyHandler, custom_access_check
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.identity.access import (
    Access,
    Action,
    Maintainers,
    parse_access,
    parse_maintainers,
)
from easymlnb_server.identity.grants import Scope
from easymlnb_server.openapi.document import JSON, Operation, done, ok
from easymlnb_server.services.responses import (
    Log,
    LogEntry,
    Service,
    VersionList,
    VersionSummary,
    describe,
    timestamp,
)

MAX_ACCESS_BYTES = 2**20


class ServiceHandler(EasyHandler):
    """``GET`` and ``DELETE services/{name}``."""

    key_scopes: ClassVar = {"GET": tuple(Scope)}

    def on_anonymous(self) -> None:
        """Accept requests for the description of a public service."""
        if self.request.method != "GET" or not self.state.services.public(self.path_args[0]):
            raise NotLoggedIn
        self.is_visitor = True

    @custom_access_check
    def get(self, name: str) -> None:
        target, services = self.target(name, Action.SEE), self.state.services
        names, state = services.named(name, self.caller), services.state(name, self.caller)
        stats = self.state.metrics.stats(name, target.version) if self.can_manage(name) else UNSET
        self.write_json(describe(target.spec, names, state, stats))

    @web.authenticated
    async def delete(self, name: str) -> None:
        self.target(name, Action.OWN)
        owner = self.state.services.named(name, self.caller).owner
        await self.state.publisher.remove(name)
        await self.record("service.delete", name, owner=owner)
        await self.state.jobs.end_for([name])
        await self.state.credentials.refresh()
        await self.state.quotas.refresh()
        self.state.call_log.forget(name)
        self.state.metrics.prune()
        self.set_status(204)
        self.finish()


class VersionsHandler(EasyHandler):
    """``GET services/{name}/versions``."""

    key_scopes: ClassVar = {"GET": (Scope.READ,)}

    @web.authenticated
    async def get(self, name: str) -> None:
        self.target(name, Action.SEE)
        own, drift = self.can_manage(name), self.state.version_archive.drift
        versions = [
            VersionSummary(
                version=version.number,
                bundle=version.bundle if own else UNSET,
                created=timestamp(version.created),
                current=version.current,
                weight=version.weight,
                aliases=list(version.aliases),
                drift=drift(name, version.number) if own else UNSET,
            )
            for version in await self.state.publisher.versions(name)
        ]
        self.write_json(VersionList(versions=versions))


class LogHandler(EasyHandler):
    """``GET services/{name}/log``: the last calls, for the author."""

    audited_reads = True

    @web.authenticated
    def get(self, name: str) -> None:
        self.target(name, Action.MANAGE)
        entries = [
            LogEntry(**{field: getattr(record, field) for field in LogEntry.__struct_fields__})
            for record in self.state.call_log.of(name)
        ]
        self.write_json(Log(entries=entries))


class AccessHandler(BodyHandler):
    """``GET`` and ``PUT services/{name}/access``: who may call a service."""

    body_method = "PUT"
    actions: ClassVar[dict[str, str]] = {"PUT": "write"}
    change: ClassVar[Action] = Action.MANAGE

    def body_limit(self) -> int:
        self._check_manages(self.path_args[0], self.change)
        return MAX_ACCESS_BYTES

    def _check_manages(self, name: str, action: Action = Action.MANAGE) -> None:
        self.target(name, action)
        if not self.state.services.shared:
            raise NotShared

    @web.authenticated
    def get(self, name: str) -> None:
        self._check_manages(name)
        self.write_json(self.state.published.services[name].access)

    @web.authenticated
    async def put(self, name: str) -> None:
        wanted = parse_access(self.read_body())
        # Checked again: the service may have been removed while the body arrived.
        self._check_manages(name)
        before = self.state.published.services[name].access
        await self._bind_names(set(wanted.users) - set(before.users))
        wanted = replace(wanted, maintainers=before.maintainers)
        await self.state.publisher.set_access(name, wanted)
        owner = self.state.published.services[name].owner
        about = {"access": wanted.to_dict(), "before": before.to_dict()}
        await self.record("service.share", name, owner=owner, details=about)
        self.write_json(wanted)

    async def _bind_names(self, names: Collection[str]) -> None:
        """Bind each name to the user who has it now; a later user of that name gets no access.

        A name without a user is allowed: it is bound to the first user who gets it.
        """
        find = self.state.users.find
        await asyncio.gather(*(find(name) for name in names), return_exceptions=True)


class MaintainersHandler(AccessHandler):
    """``GET`` and ``PUT services/{name}/maintainers``: who may publish and manage a service."""

    change: ClassVar[Action] = Action.OWN

    @web.authenticated
    def get(self, name: str) -> None:
        self._check_manages(name)
        self.write_json(_maintainers(self.state.published.services[name].access))

    @web.authenticated
    async def put(self, name: str) -> None:
        wanted = parse_maintainers(self.read_body())
        self._check_manages(name, self.change)
        access = self.state.published.services[name].access
        await self._bind_names(set(wanted.users) - set(_maintainers(access).users))
        await self.state.publisher.set_access(name, replace(access, maintainers=wanted))
        about = {"maintainers": to_builtins(wanted)}
        owner = self.state.published.services[name].owner
        await self.record("service.maintainers", name, owner=owner, details=about)
        self.write_json(wanted)


def _maintainers(access: Access) -> Maintainers:
    return Maintainers() if access.maintainers is UNSET else access.maintainers


_SHARED = "Only on the shared service of a Hub; a personal server answers `not_shared`."

OPERATIONS = {
    "GET /services/{name}": Operation(
        "getService", "Describe a service", ok("Its schema, metadata and state.", Service)
    ),
    "DELETE /services/{name}": Operation(
        "removeService",
        "Remove a service",
        done("All its versions are removed, and their workers stop."),
        (503,),
    ),
    "GET /services/{name}/log": Operation(
        "getLog", "Read a service's log", ok("The last 200 calls, newest last.", Log)
    ),
    "GET /services/{name}/versions": Operation(
        "listVersions", "List the versions", ok("All published versions.", VersionList)
    ),
    "GET /services/{name}/access": Operation(
        "getAccess",
        "Read who may call a service of yours",
        ok("Those who may, besides you and administrators.", Access),
        (409,),
        description=_SHARED,
    ),
    "PUT /services/{name}/access": Operation(
        "setAccess",
        "Set who may call a service of yours",
        ok("The new access.", Access),
        (409, 503),
        body={JSON: Access},
        description=_SHARED,
    ),
    "GET /services/{name}/maintainers": Operation(
        "getMaintainers",
        "Read who maintains a service of yours",
        ok(
            "Those who may publish and manage it, besides its owner and administrators.",
            Maintainers,
        ),
        (409,),
        description=_SHARED,
    ),
    "PUT /services/{name}/maintainers": Operation(
        "setMaintainers",
        "Set who maintains a service of yours",
        ok("The new maintainers.", Maintainers),
        (409, 503),
        body={JSON: Maintainers},
        description=_SHARED,
    ),
}
