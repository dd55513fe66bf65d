"""One service as data: specification, versions, log, removal."""

from msgspec import UNSET
from tornado import web

from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.openapi.document import JSON, Operation
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
        await self.state.publications.remove(name)
        self.state.calls.forget(name)
        self.state.metrics.prune()
        self.set_status(204)
        self.finish()


class VersionsHandler(EasyHandler):
    """``GET services/{name}/versions``."""

    @web.authenticated
    async def get(self, name: str) -> None:
        self.target(name, Action.SEE)
        found = await self.state.publications.versions(name)
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
        self.write_json(Log.of(self.state.calls.of(name)))


OPERATIONS = (
    Operation(
        method="get",
        path="/services/{name}",
        id="getService",
        tag="Services",
        summary="Describe a service",
        answers={200: ("Its schema, metadata and state.", {JSON: Service})},
        errors=(404,),
    ),
    Operation(
        method="delete",
        path="/services/{name}",
        id="removeService",
        tag="Services",
        summary="Remove a service",
        answers={204: ("All its versions are removed, and their workers stop.", {})},
        errors=(404, 503),
    ),
    Operation(
        method="get",
        path="/services/{name}/log",
        id="getLog",
        tag="Services",
        summary="Read a service's log",
        answers={200: ("The last 200 calls, newest last.", {JSON: Log})},
        errors=(404,),
    ),
    Operation(
        method="get",
        path="/services/{name}/versions",
        id="listVersions",
        tag="Services",
        summary="List the versions",
        answers={200: ("All published versions.", {JSON: VersionList})},
        errors=(404,),
    ),
)
