"""Administration of users who were renamed or removed."""

from typing import ClassVar

import msgspec
from tornado import web

from easymlnb.contract.errors import BadRequest, Forbidden, RouteNotFound
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.hub.users import HubUsers

LONGEST = 2**16
"""Bytes of a body."""


class Transfer(msgspec.Struct, forbid_unknown_fields=True):
    """To whom services are given: the name of a user of the Hub."""

    to: str


def members_of(handler: EasyHandler) -> HubUsers:
    """Return the users of the Hub; raises ``Forbidden`` for who is no administrator of it."""
    if handler.caller is None or not handler.caller.admin:
        raise Forbidden("Only administrators of the Hub can do this.")
    people = handler.state.users
    if not isinstance(people, HubUsers):
        raise RouteNotFound
    return people


class UserHandler(EasyHandler):
    """``DELETE hub/users/{name}``: remove all that is kept of a user here."""

    @web.authenticated
    async def delete(self, name: str) -> None:
        members = members_of(self)
        removed = await self.state.publisher.remove_owner(name)
        await members.forget()
        for one in removed:
            self.state.call_log.forget(one)
        self.state.metrics.prune()
        self.write_json({"removed": removed})


class TransferHandler(BodyHandler):
    """``POST hub/users/{name}/transfer``: give all services of a user to another."""

    actions: ClassVar[dict[str, str]] = {"POST": "write"}

    def body_limit(self) -> int:
        members_of(self)
        return LONGEST

    @web.authenticated
    async def post(self, name: str) -> None:
        members = members_of(self)
        try:
            to = msgspec.json.decode(self.take_body(), type=Transfer).to
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadRequest(f'Name the new owner as JSON: {{"to": "alice"}} ({error}).') from error
        if to == name:
            raise BadRequest(f"{name!r} already owns these services.")
        found = await members.look(to)
        if found is None:
            raise BadRequest(f"The Hub has no user {to!r}.")
        if not found.identity:
            raise BadRequest(
                "The Hub does not return when users were created. Give the service the scope "
                "read:users; 'easymlnb doctor --hub' prints the setting."
            )
        moved = await self.state.publisher.transfer(name, to, found.identity)
        await members.forget()
        for one in moved:
            self.state.call_log.forget(one)
        self.state.metrics.prune()
        self.write_json({"moved": moved})
