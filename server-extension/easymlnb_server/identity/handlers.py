"""Describe the caller; clients use this to resolve service names."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta
from tornado import web

from easymlnb.contract.errors import NotLoggedIn
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.grants import Scope
from easymlnb_server.openapi.document import Operation, ok


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """The caller."""

    name: str
    groups: list[str]
    admin: bool
    shared: Annotated[bool, Meta(description="Whether this is the shared service of a Hub.")]


class MeHandler(EasyHandler):
    """``GET me``: the caller's name, groups and rights, and whether this is a shared service."""

    key_scopes: ClassVar = {"GET": tuple(Scope)}

    @web.authenticated
    def get(self) -> None:
        caller = self.caller
        if caller is None:
            raise NotLoggedIn
        self.write_json(
            Me(
                name=caller.name,
                groups=sorted(caller.groups),
                admin=caller.admin,
                shared=self.state.services.shared,
            )
        )


OPERATIONS = {
    "GET /me": Operation("getMe", "Get your own identity", ok("Your name, groups and rights.", Me)),
}
