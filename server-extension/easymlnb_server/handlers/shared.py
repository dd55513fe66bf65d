"""What pages of a shared service show beyond those of one's own server: whose, for whom, what else.

On a server of one's own it is all empty.
"""

import asyncio
from typing import Any

from easymlnb.contract.names import quoted
from easymlnb.contract.sharing import sentence
from easymlnb_server.access import PRIVATE
from easymlnb_server.catalogue import Query
from easymlnb_server.handlers.base import EasyHandler


async def of_catalogue(handler: EasyHandler, asked: Query) -> dict[str, Any]:
    """Return what the catalogue shows of the caller's own: what starts, what is live elsewhere."""
    state, caller = handler.state, handler.caller
    found: dict[str, Any] = {"shared": state.services.shared, "caller": caller, "at_home": []}
    found["starting"] = []
    first = not asked.start and asked.whose != "others" and asked.owner in ("", asked.me)
    if not state.services.shared or caller is None or not first:
        return found
    if state.own_servers is not None:
        found["at_home"] = await state.own_servers.of(caller.name)
    if state.publications.ready:
        store = state.publications.store
        for bundle in await asyncio.to_thread(store.bundles.unfinished):
            if caller.admin or caller.owns(bundle.owner):
                waits = state.publications.waits_for(bundle.id)
                found["starting"].append({"bundle": bundle, "waits": waits})
    return found


def of_service(handler: EasyHandler, name: str) -> dict[str, Any]:
    """Return what the page of a service says of who may call it, to who may change that."""
    services, caller = handler.state.services, handler.caller
    found: dict[str, Any] = {"shared": services.shared, "caller": caller, "access": None}
    found |= services.named(name, caller)
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
