"""What administrators of a Hub can do: check the Hub's setup, remove and rename users."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import ClassVar

import msgspec
from tornado import web

from easymlnb.contract.errors import BadRequest, Forbidden, RouteNotFound
from easymlnb.contract.json_values import decode_body
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.hub.health import examine
from easymlnb_server.hub.users import HubUsers
from easymlnb_server.identity.access import Action, owner_key
from easymlnb_server.identity.names import group_of
from easymlnb_server.placement.hub.user_placements import UserPlacements

MAX_TRANSFER_BYTES = 2**16


class Transfer(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a transfer: the name of the new owner, a user of the Hub."""

    to: str


def hub_users(handler: EasyHandler) -> HubUsers:
    """Return the users of the Hub; raises ``Forbidden`` unless the caller is its administrator."""
    if handler.caller is None or not handler.caller.admin:
        raise Forbidden("This request requires an administrator of the Hub.")
    people = handler.state.users
    if not isinstance(people, HubUsers):
        raise RouteNotFound
    return people


async def follow_database(handler: EasyHandler) -> None:
    """Read again what is in memory of services and users that changed in the database."""
    state = handler.state
    await state.keys.refresh()
    for key in state.keys:
        if key.revoked is not None:
            state.in_flight.stop_key(key.id)
    await state.credentials.refresh()
    await state.quotas.refresh()
    await state.usage.reload()


def forget_services(handler: EasyHandler, names: Iterable[str]) -> None:
    """Drop the logs and metrics of services that were removed or have a new name."""
    for name in names:
        handler.state.call_log.forget(name)
    handler.state.metrics.prune()


class ServiceTransferHandler(BodyHandler):
    """``POST services/{name}/transfer``: give a service to a group, or as administrator to a user.

    The owner gives it to a group that they belong to. Only administrators give it to a user, who
    would otherwise own whatever others send them.
    """

    actions: ClassVar[dict[str, str]] = {"POST": "write"}

    def body_limit(self) -> int:
        self.target(self.path_args[0], Action.OWN)
        return MAX_TRANSFER_BYTES

    @web.authenticated
    async def post(self, name: str) -> None:
        body = self.read_body()
        self.target(name, Action.OWN)
        advice = 'Name the new owner as JSON: {"to": "group:lab"} or {"to": "alice"}'
        to = decode_body(body, Transfer, advice).to
        await self._check_new_owner(to)
        before = self.state.services.named(name, self.caller).owner
        await self.state.usage.flush()
        new = await self.state.ownership.transfer_service(name, to)
        await follow_database(self)
        forget_services(self, [name])
        await self.record("service.transfer", new, owner=to, details={"from": before, "name": name})
        self.write_json({"moved": {name: new}})

    async def _check_new_owner(self, to: str) -> None:
        caller, group = self.caller, group_of(to)
        assert caller is not None
        if group is None and not caller.admin:
            raise Forbidden(
                "Only administrators transfer a service to a user. To give it to a group that you "
                'belong to, send {"to": "group:NAME"}.'
            )
        if group is not None and not (caller.admin or group in caller.groups):
            raise Forbidden(f"You are not a member of the group {group!r}.")
        if group is not None and not group:
            raise BadRequest('Name the group: {"to": "group:NAME"}.')
        if group is None and await self.state.users.find(to) is None:
            raise BadRequest(f"The Hub has no user {to!r}.")


class OwnerlessService(msgspec.Struct, frozen=True):
    """A service whose owner, or the user of whose workers, is no longer there.

    - ``account``: the user as whom its workers run
    - ``gone``: those of the two that the Hub no longer has
    """

    name: str
    owner: str
    account: str
    gone: list[str]


class OwnerlessList(msgspec.Struct, frozen=True):
    """The services without an owner."""

    services: list[OwnerlessService]


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
        self.write_json(OwnerlessList(await ownerless(self)))


class OwnerlessPageHandler(PageHandler):
    """``GET hub/ownerless/page``: the same for people, who transfer or remove the services."""

    @web.authenticated
    async def get(self) -> None:
        found = await ownerless(self)
        users = sorted({name for one in found for name in one.gone if group_of(name) is None})
        self.page("ownerless.html", services=found, users=users)


class HubHandler(EasyHandler):
    """``GET hub``: scopes, addresses and versions; ``doctor --hub`` prints them."""

    @web.authenticated
    async def get(self) -> None:
        users, views = hub_users(self), self.state.placement_views
        if not isinstance(views, UserPlacements):
            raise RouteNotFound
        results = await examine(users, views.credentials)
        self.write_json({"easymlnb": version("easymlnb"), **results})


class UserHandler(EasyHandler):
    """``DELETE hub/users/{name}``: remove everything that the shared service stores of a user."""

    @web.authenticated
    async def delete(self, name: str) -> None:
        users = hub_users(self)
        jobs = self.state.jobs
        running = await jobs.unfinished_of(owner_key(name))
        await self.state.usage.flush()
        removed = await self.state.ownership.remove_owner(name)
        jobs.stop(running)
        await jobs.end_for(removed)
        await follow_database(self)
        await users.forget()
        forget_services(self, removed)
        await self.record("owner.remove", name, details={"removed": removed})  # of nobody now
        self.write_json({"removed": removed})


class TransferHandler(BodyHandler):
    """``POST hub/users/{name}/transfer``: give all services of a user to another."""

    actions: ClassVar[dict[str, str]] = {"POST": "write"}

    def body_limit(self) -> int:
        hub_users(self)
        return MAX_TRANSFER_BYTES

    @web.authenticated
    async def post(self, name: str) -> None:
        users = hub_users(self)
        advice = 'Name the new owner as JSON: {"to": "alice"}'
        to = decode_body(self.read_body(), Transfer, advice).to
        if to == name:
            raise BadRequest(f"{name!r} already owns these services.")
        owner = await users.fetch(to)
        if owner is None:
            raise BadRequest(f"The Hub has no user {to!r}.")
        if not owner.identity:
            raise BadRequest(
                "The Hub does not return when users were created. Give the service the scope "
                "read:users; 'easymlnb doctor --hub' prints the setting."
            )
        await self.state.usage.flush()
        moved = await self.state.ownership.transfer(name, to, owner.identity)
        await follow_database(self)
        await users.forget()
        forget_services(self, moved)
        await self.record("owner.transfer", name, owner=to, details={"to": to, "moved": moved})
        self.write_json({"moved": moved})


ROUTES = (
    (r"hub", HubHandler),
    (r"hub/ownerless", OwnerlessHandler),
    (r"hub/ownerless/page", OwnerlessPageHandler),
    (r"services/([^/]+/[A-Za-z0-9_-]+)/transfer", ServiceTransferHandler),
    (r"hub/users/([^/]+)", UserHandler),
    (r"hub/users/([^/]+)/transfer", TransferHandler),
)
"""The routes of a shared service only."""
