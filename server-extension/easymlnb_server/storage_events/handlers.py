"""The routes of sources of files: list them, and take notifications about objects."""

from typing import Any, ClassVar

from tornado import web

from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.grants import Scope
from easymlnb_server.openapi.document import JSON, Operation, ok
from easymlnb_server.storage_events.models import (
    EventsTaken,
    ItemShown,
    SourceDetails,
    SourceList,
    SourceShown,
    TakenFile,
)
from easymlnb_server.storage_events.watcher import Watcher

MAX_BODY = 2**20
LATEST = 50
"""Files of a source that are shown."""


class SourcesHandler(EasyHandler):
    """``GET storage-events``."""

    @web.authenticated
    async def get(self) -> None:
        events = self.state.storage_events
        counts = await events.counts()
        found = [
            SourceShown(**shown(one), counts=counts[one.name])
            for one in events.visible(self.caller)
        ]
        self.write_json(SourceList(sources=found))


class SourceHandler(EasyHandler):
    """``GET storage-events/{name}``."""

    @web.authenticated
    async def get(self, name: str) -> None:
        events = self.state.storage_events
        watcher = events.get(name, self.caller)
        counts, items = await events.counts(), await events.latest(name, LATEST)
        files = [item_shown(item) for item in items]
        self.write_json(SourceDetails(**shown(watcher), counts=counts[name], files=files))


class NotificationHandler(BodyHandler):
    """``POST services/{name}/events``: a notification of S3 or MinIO about new objects."""

    key_scopes: ClassVar = {"POST": (Scope.JOBS,)}

    def body_limit(self) -> int:
        self.target(self.path_args[0], Action.CALL)
        return MAX_BODY

    @web.authenticated
    async def post(self, name: str) -> None:
        self.target(name, Action.CALL)
        taken = await self.state.storage_events.notify(name, self.read_body(), self.caller)
        self.write_json(EventsTaken(taken=taken))


def shown(watcher: Watcher) -> dict[str, Any]:
    """Return a source as callers see it."""
    source = watcher.source
    return {
        "name": watcher.name,
        "service": source.service,
        "user": source.user,
        "place": source.place,
        "pattern": source.pattern,
        "state": watcher.state,
        "reason": watcher.reason,
    }


def item_shown(item: TakenFile) -> ItemShown:
    """Return a file as callers see it."""
    return ItemShown(**{name: getattr(item, name) for name in ItemShown.__struct_fields__})


OPERATIONS = {
    "GET /storage-events": Operation(
        "listStorageEvents", "Folders and buckets whose new files start jobs",
        ok("All of them.", SourceList), (503,), tag="Storage events",
        description="The administrator configures them; you see those that run in your name.",
    ),
    "GET /storage-events/{source}": Operation(
        "getStorageEvents", "A folder or bucket with its latest files",
        ok("The source.", SourceDetails), (503,), tag="Storage events",
    ),
    "POST /services/{name}/events": Operation(
        "notifyStorageEvents", "Take a notification about new objects of a bucket",
        ok("The new objects are stored, and become jobs.", EventsTaken), (503,),
        tag="Storage events", body={JSON: {"type": "object"}},
        description="The body is what S3 and MinIO send, with `Records`. A repeated notification "
        "takes nothing.",
    ),
}  # fmt: skip
