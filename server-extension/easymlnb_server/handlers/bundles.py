"""The list of services, and publishing: a bundle comes in, and its state can be looked at."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from tornado import web

from easymlnb.contract.archive import MAX_ZIP
from easymlnb.contract.errors import (
    BadRequest,
    BundleNotFound,
    Forbidden,
    UnsupportedMediaType,
)
from easymlnb.contract.replacing import AUTO, check
from easymlnb.contract.spec import NAME
from easymlnb_server.access import PRIVATE, Action, may, resolve
from easymlnb_server.catalogue import choose, entries
from easymlnb_server.handlers.base import EasyHandler
from easymlnb_server.handlers.body import BodyHandler
from easymlnb_server.handlers.catalogue import onwards, query
from easymlnb_server.names import plain
from easymlnb_server.store.records import State, StoredBundle

ZIP = "application/zip"


class ServicesHandler(BodyHandler):
    """``GET services`` lists them; ``POST services`` publishes the bundle that is its body."""

    actions: ClassVar[dict[str, str]] = {"POST": "write"}

    def body_limit(self) -> int:
        sent = self.request.headers.get("Content-Type", "")
        if sent.partition(";")[0].strip() != ZIP:
            raise UnsupportedMediaType(sent, (ZIP,))
        return MAX_ZIP

    @web.authenticated
    def get(self) -> None:
        asked = query(self)
        found = choose(entries(self.state.services, self.state.calls, self.caller), asked)
        more = None if found.next is None else f"services?{onwards(asked, found.next)}"
        self.write_json({"services": found.entries, "total": found.total, "next": more})

    @web.authenticated
    async def post(self) -> None:
        names = tuple(self.get_query_arguments("name"))
        for name in names:
            if not NAME.match(name):
                raise BadRequest(f"Invalid service name {name[:80]!r}.")
        # Whose it is comes from who is logged in, never from what a request says.
        assert self.caller is not None
        if not self.caller.owns(self.caller.name):
            raise Forbidden(
                f"The services of {self.caller.name!r} belong to a former user of the Hub with "
                f"the same name. {resolve(self.caller.name)}"
            )
        replace = check(self.get_query_argument("replace", AUTO))
        publish = self.state.publications.publish
        stored = await publish(self.take_body(), names, self.caller.name, replace)
        self.set_header("Location", f"{self.base_url}easymlnb/bundles/{stored.id}")
        ready = stored.state is State.READY
        self.write_json(await describe(self, stored, unchanged=ready), 200 if ready else 202)


class _BundleHandler(EasyHandler):
    """Base: finds a bundle that is the caller's to manage."""

    async def find(self, id: str) -> StoredBundle:
        """Return a bundle; raises ``BundleNotFound``, for that of somebody else too."""
        stored = await self.state.publications.bundle(id)
        if self.state.services.shared and not may(
            self.caller, stored.owner, PRIVATE, Action.MANAGE
        ):
            raise BundleNotFound(id)
        return stored


class BundleHandler(_BundleHandler):
    """``GET bundles/{id}``, and ``DELETE``, which cancels publishing."""

    @web.authenticated
    async def get(self, bundle: str) -> None:
        self.write_json(await describe(self, await self.find(bundle)))

    @web.authenticated
    async def delete(self, bundle: str) -> None:
        await self.find(bundle)
        await self.state.publications.call_off(bundle)
        self.set_status(204)
        self.finish()


class BundleNotebookHandler(_BundleHandler):
    """``GET bundles/{id}/notebook``: the executed notebook, the log of the deployment."""

    audited_reads = True

    @web.authenticated
    async def get(self, bundle: str) -> None:
        stored = await self.find(bundle)
        if stored.log is None:
            raise BundleNotFound(bundle, "executed notebook of the bundle")
        data = await self.state.publications.log_of(stored)
        self.set_header("Content-Type", "application/x-ipynb+json")
        name = f"executed-{stored.id[:10]}.ipynb"
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(data)


async def describe(
    handler: EasyHandler, stored: StoredBundle, unchanged: bool = False
) -> dict[str, Any]:
    """Return a bundle as JSON: its state, what it serves, why it failed."""
    found: dict[str, Any] = {
        "bundle": stored.id,
        "state": stored.state.value,
        "created": datetime.fromtimestamp(stored.created, UTC).isoformat(),
        "files": sorted(stored.manifest["files"]),
        "requirements": list(stored.manifest["requirements"]),
        "environment": stored.manifest["environment"],
    }
    if unchanged:
        found["unchanged"] = True
    if stored.error is not None and stored.state is State.FAILED:
        found["error"] = stored.error
    if stored.log is not None:
        found["notebook"] = f"bundles/{stored.id}/notebook"
    if reason := handler.state.publications.waits_for(stored.id):
        found["reason"] = reason
    versions = await handler.state.publications.provided(stored.id)
    found["services"] = [
        {
            "name": plain(one.service),
            "full_name": one.service,
            "version": one.number,
            "public": handler.state.services.public(one.service),
        }
        for one in versions
    ]
    return found
