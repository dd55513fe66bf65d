"""Create, list and revoke API keys."""

import time
from datetime import UTC, datetime
from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from tornado import web

from easymlnb.contract.errors import ApiKeyNotFound, BadRequest, Forbidden, ServiceNotFound
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.identity.access import Action, Caller
from easymlnb_server.identity.api_keys import rules
from easymlnb_server.identity.api_keys.keys import may_manage
from easymlnb_server.identity.api_keys.models import ApiKey, KeyRequest, KeyState
from easymlnb_server.identity.limits import Limits, to_limits
from easymlnb_server.openapi.document import HTML, JSON, TEXT, Operation, done, ok, query_parameter

MAX_REQUEST = 2**16
MAX_SUGGESTIONS = 200
"""Names of services that the page suggests."""


class KeyDescription(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, without its text."""

    id: str
    hint: Annotated[str, Meta(description="The first characters of the key.")]
    owner: str
    services: tuple[str, ...]
    scopes: tuple[str, ...]
    limits: Limits
    note: str
    state: KeyState
    created: str
    expires: str | None
    used: Annotated[str | None, Meta(description="When the key was used last.")]
    revoked: str | None
    key: Annotated[
        str | UnsetType, Meta(description="The key itself: only in the answer that created it.")
    ] = UNSET


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """API keys, newest first."""

    keys: list[KeyDescription]


def describe(key: ApiKey, used: float | None, text: str | UnsetType = UNSET) -> KeyDescription:
    """Return a key as lists show it, or with its text."""
    return KeyDescription(
        id=key.id,
        hint=key.hint,
        owner=key.owner,
        services=key.services,
        scopes=tuple(key.scopes),
        limits=key.limits,
        note=key.note,
        state=key.state(time.time()),
        created=_moment(key.created) or "",
        expires=_moment(key.expires),
        used=_moment(used),
        revoked=_moment(key.revoked),
        key=text,
    )


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


class _KeyHandler(BodyHandler):
    """Base: the caller must be logged in as a user."""

    actions: ClassVar[dict[str, str]] = {"POST": "write"}

    def body_limit(self) -> int:
        return MAX_REQUEST

    def user(self) -> Caller:
        """Return the caller; raises ``Forbidden`` for one who cannot have keys."""
        if self.caller is None:
            raise Forbidden("Only users can have API keys. Log in first.")
        return self.caller


class KeysHandler(_KeyHandler):
    """``GET keys`` lists the caller's keys; ``POST keys`` creates one."""

    @web.authenticated
    def get(self) -> None:
        self.state.keys.check_open()
        self.write_json(KeyList(keys=self.listed()))

    def listed(self) -> list[KeyDescription]:
        """Return the keys to show: the caller's, or for administrators those of ``owner``."""
        caller, keys = self.user(), self.state.keys
        owner = self.get_query_argument("owner", "")
        found = [key for key in keys if may_manage(caller, key)]
        if owner not in ("", "*"):
            found = [key for key in found if key.owner == owner]
        elif owner == "" and self.state.services.shared:
            found = [key for key in found if caller.owns(key.owner)]
        found.sort(key=lambda key: key.created, reverse=True)
        return [describe(key, keys.used(key)) for key in found]

    @web.authenticated
    async def post(self) -> None:
        caller = self.user()
        request = rules.parse_request(self.read_body())
        services = self._services(request, caller)
        key, text = await self.state.keys.create(
            caller,
            services=services,
            scopes=rules.check_scopes(request.scopes),
            limits=to_limits(request.limits),
            note=rules.check_note(request.note),
            expires=rules.expiry(request.expires, time.time()),
            request_id=self.request_id,
        )
        self.set_header("Location", f"{self.base_url}easymlnb/keys/{key.id}")
        self.write_json(describe(key, None, text), 201)

    def _services(self, request: KeyRequest, caller: Caller) -> tuple[str, ...]:
        """Return the services of a new key, which the caller must be able to call."""
        registry = self.state.services
        if not caller.owns(caller.name):
            raise Forbidden(
                f"The name {caller.name!r} belonged to another user of the Hub, so you cannot have "
                "API keys under it. Ask an administrator of the Hub."
            )
        try:
            found = rules.check_services(request.services, caller.name, shared=registry.shared)
            for name in found:
                if not rules.is_pattern(name):
                    registry.resolve(name, caller, Action.CALL)
        except ServiceNotFound as error:
            raise BadRequest(f"The key cannot be created. {error.message}") from error
        return found


class KeysPageHandler(PageHandler):
    """``GET keys/page``: the page on which users create and revoke keys."""

    @web.authenticated
    def get(self) -> None:
        keys, services = self.state.keys, self.state.services
        keys.check_open()
        caller = self.caller
        own = [] if caller is None else [key for key in keys if caller.owns(key.owner)]
        own.sort(key=lambda key: key.created, reverse=True)
        self.page(
            "keys.html",
            keys=[describe(key, keys.used(key)) for key in own],
            known=services.names(caller)[:MAX_SUGGESTIONS],
            shared=services.shared,
        )


class KeyHandler(EasyHandler):
    """``GET`` and ``DELETE keys/{id}``."""

    @web.authenticated
    def get(self, id: str) -> None:
        keys = self.state.keys
        keys.check_open()
        key = keys.get(id)
        if key is None or self.caller is None or not may_manage(self.caller, key):
            raise ApiKeyNotFound(id)
        self.write_json(describe(key, keys.used(key)))

    @web.authenticated
    async def delete(self, id: str) -> None:
        if self.caller is None:
            raise ApiKeyNotFound(id)
        await self.state.keys.revoke(id, self.caller, self.request_id)
        self.state.in_flight.stop_key(id)
        self.set_status(204)
        self.finish()


_OWNER = query_parameter("owner", "For administrators: a user, or `*` for all keys.", TEXT)

OPERATIONS = {
    "GET /keys": Operation(
        "listKeys", "List your API keys", ok("Newest first.", KeyList), (503,), tag="Keys",
        query=(_OWNER,),
    ),
    "POST /keys": Operation(
        "createKey",
        "Create an API key",
        ok("The key, whose text is only in this answer.", KeyDescription, 201),
        (503,),
        tag="Keys",
        body={JSON: KeyRequest},
    ),
    "GET /keys/page": Operation(
        "getKeysPage", "Create and revoke API keys", ok("A page for people.", HTML), (503,),
        tag="Documents",
    ),
    "GET /keys/{id}": Operation(
        "getKey", "Describe an API key", ok("The key without its text.", KeyDescription), (503,),
        tag="Keys",
    ),
    "DELETE /keys/{id}": Operation(
        "revokeKey",
        "Revoke an API key",
        done("The key is refused from the next call on; its running calls are stopped."),
        (503,),
        tag="Keys",
    ),
}  # fmt: skip
