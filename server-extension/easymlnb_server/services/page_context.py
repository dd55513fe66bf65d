"""What pages show of publishing, owners and access."""

import asyncio
import time
from typing import Any

from msgspec import to_builtins

from easymlnb.contract.access_text import sentence
from easymlnb.contract.names import quoted
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.access import PRIVATE
from easymlnb_server.services.catalog import Query

FAILED_SHOWN = 7 * 86400.0
"""Seconds for which the catalog lists a failed publication, unless a later one succeeds."""


async def of_catalog(handler: EasyHandler, asked: Query) -> dict[str, Any]:
    """Return what the catalog shows of the caller's own: what starts, what is live elsewhere."""
    state, caller = handler.state, handler.caller
    found: dict[str, Any] = {"shared": state.services.shared, "caller": caller, "at_home": []}
    found["starting"], found["failed"] = [], []
    first = not asked.start and asked.whose != "others" and asked.owner in ("", asked.me)
    if caller is None or not first:
        return found
    if state.services.shared and state.own_servers is not None:
        found["at_home"] = await state.own_servers.get(caller.name)
    if state.publications.ready:
        store = state.publications.store
        for bundle in await asyncio.to_thread(store.bundles.unfinished):
            if caller.admin or caller.owns(bundle.owner):
                waits = state.publications.waits_for(bundle.id)
                found["starting"].append({"bundle": bundle, "waits": waits})
        since = time.time() - FAILED_SHOWN
        for bundle in await asyncio.to_thread(lambda: store.bundles.failed(since=since)):
            if not state.services.shared or caller.owns(bundle.owner):
                found["failed"].append(bundle)
    return found


def of_service(handler: EasyHandler, name: str) -> dict[str, Any]:
    """Return what the page of a service says of who may call it, to who may change that."""
    services, caller = handler.state.services, handler.caller
    found: dict[str, Any] = {"shared": services.shared, "caller": caller, "access": None}
    found |= to_builtins(services.named(name, caller))
    found["public_link"] = f"{handler.address}public/{quoted(name)}"
    if not services.shared or not handler.manages(name):
        return found
    access = found.pop("shared", PRIVATE.to_dict())
    way = "public" if access["public"] else "apps"
    return found | {
        "shared": True,
        "access": access,
        "choice": _choice(access),
        "who": sentence(
            name, access, "you" if caller and caller.owns(found["owner"]) else found["owner"]
        ),
        "link": f"{handler.address}{way}/{quoted(name)}",
    }


def _choice(access: dict[str, Any]) -> str:
    if access["public"] or access["everyone"]:
        return "public" if access["public"] else "everyone"
    return "some" if access["users"] or access["groups"] else "nobody"
