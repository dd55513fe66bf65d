"""Read and set who may call a service."""

import asyncio
from collections.abc import Collection
from typing import ClassVar

from tornado import web

from easymlnb.contract.errors import NotShared
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.identity.access import Access, Action, parse
from easymlnb_server.openapi.document import JSON, Operation

LONGEST = 2**20
"""Bytes of a body."""


class AccessHandler(BodyHandler):
    """``GET`` and ``PUT services/{name}/access``."""

    takes = "PUT"
    actions: ClassVar[dict[str, str]] = {"PUT": "write"}

    def body_limit(self) -> int:
        self._check_may(self.path_args[0])
        return LONGEST

    def _check_may(self, name: str) -> None:
        self.target(name, Action.MANAGE)
        if not self.state.services.shared:
            raise NotShared

    @web.authenticated
    def get(self, name: str) -> None:
        self._check_may(name)
        self.write_json(self.state.published.services[name].access)

    @web.authenticated
    async def put(self, name: str) -> None:
        wanted = parse(self.take_body())
        # Asked again: it may have been removed while the body came in.
        self._check_may(name)
        before = self.state.published.services[name].access
        await self._meet(set(wanted.users) - set(before.users))
        await self.state.publications.set_access(name, wanted)
        self.write_json(wanted)

    async def _meet(self, names: Collection[str]) -> None:
        """Have it noted who has these names now: it is them who are let in.

        Names that nobody has yet may be given; whoever gets them first is meant.
        """
        find = self.state.people.find
        await asyncio.gather(*(find(name) for name in names), return_exceptions=True)


_SHARED = "Only on the shared service of a Hub; a personal server answers `not_shared`."

OPERATIONS = (
    Operation(
        method="get",
        path="/services/{name}/access",
        id="getAccess",
        tag="Services",
        summary="Read who may call a service of yours",
        answers={200: ("Those who may, besides you and administrators.", {JSON: Access})},
        errors=(404, 409),
        description=_SHARED,
    ),
    Operation(
        method="put",
        path="/services/{name}/access",
        id="setAccess",
        tag="Services",
        summary="Set who may call a service of yours",
        answers={200: ("The new access.", {JSON: Access})},
        errors=(400, 404, 409, 413, 503),
        body={JSON: Access},
        description=_SHARED,
    ),
)
