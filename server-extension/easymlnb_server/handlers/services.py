"""One service as data: its spec, versions, log, and its removal."""

from datetime import UTC, datetime
from typing import Any

from tornado import web

from easymlnb_server.access import Action
from easymlnb_server.handlers.base import EasyHandler
from easymlnb_server.store.records import Version


class ServiceHandler(EasyHandler):
    """``GET`` and ``DELETE services/{name}``."""

    @web.authenticated
    def get(self, name: str) -> None:
        target = self.target(name, Action.SEE)
        state = self.state.services.state(name, self.caller)
        found = target.spec.to_dict() | self.state.services.named(name, self.caller)
        # What stands on its page is shown there, and may be large.
        found.pop("app", None)
        # The picture has a route of its own.
        found.get("metadata", {}).pop("thumbnail", None)
        if self.manages(name):
            state["stats"] = self.state.metrics.stats(name, target.version)
        self.write_json({**found, **state})

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
        self.write_json({"versions": [_version(one, own) for one in found]})


def _version(version: Version, own: bool) -> dict[str, Any]:
    return {
        "version": version.number,
        **({"bundle": version.bundle} if own else {}),
        "created": datetime.fromtimestamp(version.created, UTC).isoformat(),
        "current": version.current,
    }


class LogHandler(EasyHandler):
    """``GET services/{name}/log``: the last calls, for the author."""

    audited_reads = True

    @web.authenticated
    def get(self, name: str) -> None:
        self.target(name, Action.MANAGE)
        self.write_json({"entries": [entry.to_dict() for entry in self.state.calls.of(name)]})
