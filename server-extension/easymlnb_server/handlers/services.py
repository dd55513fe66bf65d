"""One service as data: its spec, versions, log, and its removal."""

from datetime import UTC, datetime

from tornado import web

from easymlnb_server.handlers.base import EasyHandler


class ServiceHandler(EasyHandler):
    """``GET`` and ``DELETE services/{name}``."""

    @web.authenticated
    def get(self, name: str) -> None:
        target = self.state.services.target(name)
        state = self.state.services.state(name)
        stats = self.state.metrics.stats(name, target.version)
        found = target.spec.to_dict()
        # What stands on its page is shown there, and may be large.
        found.pop("app", None)
        # The picture has a route of its own.
        found.get("metadata", {}).pop("thumbnail", None)
        self.write_json({**found, **state, "stats": stats})

    @web.authenticated
    async def delete(self, name: str) -> None:
        await self.state.publications.remove(name)
        self.state.calls.forget(name)
        self.state.metrics.prune()
        self.set_status(204)
        self.finish()


class VersionsHandler(EasyHandler):
    """``GET services/{name}/versions``."""

    @web.authenticated
    async def get(self, name: str) -> None:
        self.state.services.target(name)
        found = await self.state.publications.versions(name)
        self.write_json(
            {
                "versions": [
                    {
                        "version": version.number,
                        "bundle": version.bundle,
                        "created": datetime.fromtimestamp(version.created, UTC).isoformat(),
                        "current": version.current,
                    }
                    for version in found
                ]
            }
        )


class LogHandler(EasyHandler):
    """``GET services/{name}/log``: the last calls, for the author."""

    @web.authenticated
    def get(self, name: str) -> None:
        self.state.services.target(name)
        self.write_json({"entries": [entry.to_dict() for entry in self.state.calls.of(name)]})
