"""One service as data: specification, versions, log, removal."""

from msgspec import UNSET
from tornado import web

from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.openapi.document import Operation, done, ok
from easymlnb_server.resources import (
    Log,
    Service,
    VersionList,
    VersionSummary,
    timestamp,
)
from easymlnb_server.store.records import Version


class ServiceHandler(EasyHandler):
    """``GET`` and ``DELETE services/{name}``."""

    @web.authenticated
    def get(self, name: str) -> None:
        target, services = self.target(name, Action.SEE), self.state.services
        names, state = services.named(name, self.caller), services.state(name, self.caller)
        stats = self.state.metrics.stats(name, target.version) if self.manages(name) else UNSET
        self.write_json(Service.describe(target.spec, names, state, stats))

    @web.authenticated
    async def delete(self, name: str) -> None:
        self.target(name, Action.MANAGE)
        await self.state.publisher.remove(name)
        self.state.call_log.forget(name)
        self.state.metrics.prune()
        self.set_status(204)
        self.finish()


class VersionsHandler(EasyHandler):
    """``GET services/{name}/versions``."""

    @web.authenticated
    async def get(self, name: str) -> None:
        self.target(name, Action.SEE)
        found = await self.state.publisher.versions(name)
        own = self.manages(name)
        self.write_json(VersionList(versions=[_version(one, own) for one in found]))


def _version(version: Version, own: bool) -> VersionSummary:
    return VersionSummary(
        version=version.number,
        bundle=version.bundle if own else UNSET,
        created=timestamp(version.created),
        current=version.current,
    )


class LogHandler(EasyHandler):
    """``GET services/{name}/log``: the last calls, for the author."""

    audited_reads = True

    @web.authenticated
    def get(self, name: str) -> None:
        self.target(name, Action.MANAGE)
        self.write_json(Log.of(self.state.call_log.of(name)))


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
}
