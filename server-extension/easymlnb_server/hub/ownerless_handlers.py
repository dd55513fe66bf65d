"""Services whose owner is gone, for administrators: as JSON, and as a page."""

import msgspec
from tornado import web

from easymlnb.contract.errors import Forbidden
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.identity.names import group_of


class OwnerlessService(msgspec.Struct, frozen=True):
    """A service whose owner, or the user of whose workers, is no longer there.

    - ``account``: the user as whom its workers run
    - ``gone``: those of the two that the Hub no longer has
    """

    name: str
    owner: str
    account: str
    gone: list[str]


async def ownerless(handler: EasyHandler) -> list[OwnerlessService]:
    """Return the services without an owner; raises ``Forbidden`` unless for administrators."""
    if handler.caller is None or not handler.caller.admin:
        raise Forbidden("This request requires an administrator of the Hub.")
    find, deploy = handler.state.users.find, handler.state.publisher.account_of
    services = [*handler.state.published.services.items()]
    accounts = {name: deploy(one.current.bundle, one.owner) for name, one in services}
    users = {one.owner for _, one in services if group_of(one.owner) is None}
    gone = {user for user in users | {*accounts.values()} if await find(user) is None}
    found = []
    for name, one in services:
        missing = sorted({one.owner, accounts[name]} & gone)
        if missing:
            found.append(OwnerlessService(name, one.owner, accounts[name], missing))
    return sorted(found, key=lambda one: one.name)


class OwnerlessHandler(EasyHandler):
    """``GET hub/ownerless``: services whose owner, or whose workers' user, is no longer there."""

    @web.authenticated
    async def get(self) -> None:
        self.write_json({"services": await ownerless(self)})


class OwnerlessPageHandler(PageHandler):
    """``GET hub/ownerless/page``: the same for people, who transfer or remove the services."""

    @web.authenticated
    async def get(self) -> None:
        found = await ownerless(self)
        users = sorted({name for one in found for name in one.gone if group_of(name) is None})
        self.page("ownerless.html", services=found, users=users)
