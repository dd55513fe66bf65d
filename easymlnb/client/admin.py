"""``client.admin``: manage the services of a server. Both clients have the same methods."""

import inspect
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, get_args, overload
from urllib.parse import quote

from easymlnb.client import operations
from easymlnb.client.messages import Operation, Request, Response, raise_for_error
from easymlnb.client.operations import SpecCache
from easymlnb.contract.errors import NotShared, ServerUnreachable
from easymlnb.contract.replacing import AUTO, check
from easymlnb.contract.spec import ServiceSpec

UPLOAD_SECONDS = 300.0
HUB_SECONDS = 60.0
"""Timeout of requests for which the server asks its Hub."""
JSON = {"Content-Type": "application/json"}

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


class _Method(Protocol[P, T_co]):
    """A method that returns its result, or in an ``AsyncAdmin`` an awaitable of it."""

    @overload
    def __get__(self, admin: "Admin", owner: type) -> Callable[P, T_co]: ...
    @overload
    def __get__(
        self, admin: "AsyncAdmin", owner: type
    ) -> Callable[P, Coroutine[Any, Any, T_co]]: ...


def _operation(flow: Callable[Concatenate[Any, P], Operation[T_co]]) -> _Method[P, T_co]:
    """Make a method of an operation: the client that has it does the I/O."""

    @wraps(flow)
    def method(admin: Any, *args: P.args, **kwargs: P.kwargs) -> Any:
        return admin._run(flow(admin, *args, **kwargs))

    signature = inspect.signature(flow)
    result = get_args(signature.return_annotation)[2]
    cast("Any", method).__signature__ = signature.replace(return_annotation=result)
    return cast("_Method[P, T_co]", method)


class _Operations:
    def __init__(self, run: Callable[[Operation[Any]], Any], specs: SpecCache) -> None:
        self._run = run
        self._specs = specs

    @_operation
    def full_name(self, name: str) -> Operation[str]:
        """Return the name with its owner on a shared service; a short name is your own."""
        return operations.full_name(self._specs, name)

    @_operation
    def services(self) -> Operation[list[dict[str, Any]]]:
        """Return name, title, state, version and more of each service."""
        return operations.services()

    @_operation
    def service(self, name: str) -> Operation[dict[str, Any]]:
        """Return a service's spec with its state and version."""
        return operations.get_of_service(self._specs, name)

    @_operation
    def spec(self, name: str) -> Operation[ServiceSpec]:
        """Return a service's spec; it is cached for 30 seconds."""
        return operations.spec(self._specs, name)

    @_operation
    def versions(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the published versions of a service, oldest first."""
        return operations.get_of_service(self._specs, name, "versions", key="versions")

    @_operation
    def log(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the last 200 calls of a service with their output, newest last."""
        return operations.get_of_service(self._specs, name, "log", key="entries")

    @_operation
    def health(self) -> Operation[dict[str, Any]]:
        """Return whether the server accepts calls: ``{"status": "ok"}``, or what is not ready."""
        response = yield Request("GET", "health/ready")
        if response.status == 503 and response.content_type.startswith("application/json"):
            state = response.json()
            if isinstance(state, dict) and "status" in state:
                return state
        return dict(raise_for_error(response).json())

    @_operation
    def remove(self, name: str) -> Operation[None]:
        """Remove a published service with all its versions."""
        full = yield from operations.full_name(self._specs, name)
        self._specs.drop(full)
        raise_for_error((yield Request("DELETE", operations.service_path(full))))

    @_operation
    def access(self, name: str) -> Operation[dict[str, Any]]:
        """Return who can call a service: ``users``, ``groups``, ``everyone``, ``public``."""
        return _access(self._specs, name)

    @_operation
    def share(
        self,
        name: str,
        *,
        users: Iterable[str] = (),
        groups: Iterable[str] = (),
        everyone: bool = False,
        public: bool = False,
    ) -> Operation[dict[str, Any]]:
        """Replace the access to one of your services, and return the new setting.

        Parameters
        ----------
        name : str
        users : iterable of str, optional
        groups : iterable of str, optional
            Groups of the Hub.
        everyone : bool, default False
            All users who can log in to the Hub.
        public : bool, default False
            Also visitors without a login, on the app page.

        Raises
        ------
        NotShared
            The server is not a Hub's shared service.
        """
        return _access(self._specs, name, access_body(users, groups, everyone, public))

    @_operation
    def upload_bundle(
        self, data: bytes, *, names: Iterable[str] = (), replace: str = AUTO
    ) -> Operation[dict[str, Any]]:
        """Publish a bundle, or only these of its services, and return its first status.

        ``replace`` is one of ``contract.replacing.CHOICES``.
        """
        params = [("name", name) for name in names]
        params += [("replace", check(replace))] if replace != AUTO else []
        headers = {"Content-Type": "application/zip"}
        request = Request("POST", "services", UPLOAD_SECONDS, headers, tuple(params), data)
        return _bundle_status((yield request))

    @_operation
    def bundle(self, bundle: str) -> Operation[dict[str, Any]]:
        """Return the status of a bundle: its ``state``, services, reason or error."""
        return _bundle_status((yield Request("GET", f"bundles/{bundle}")))

    @_operation
    def cancel_bundle(self, bundle: str) -> Operation[None]:
        """Cancel publishing; the previous version stays online."""
        raise_for_error((yield Request("DELETE", f"bundles/{bundle}")))

    @_operation
    def keys(self, owner: str = "") -> Operation[list[dict[str, Any]]]:
        """Return your API keys, newest first; administrators name another ``owner`` or ``"*"``."""
        return operations.get_listed("keys", {"owner": owner}, "keys")

    @_operation
    def create_key(
        self,
        services: str | Iterable[str],
        *,
        scopes: Iterable[str] = ("call",),
        expires: str | None = "90d",
        note: str = "",
        limits: Mapping[str, Any] | None = None,
    ) -> Operation[dict[str, Any]]:
        """Create an API key, and return it with its text in ``key``, which is shown only now.

        Parameters
        ----------
        services : str or iterable of str
            Names of services; ``"owner/*"`` and ``"*"`` are all that you may call.
        scopes : iterable of str, default ``("call",)``
            Any of ``"call"``, ``"jobs"`` and ``"read"``.
        expires : str or None, default ``"90d"``
            A date and time, or a duration; ``None`` for a key that never expires.
        note : str, optional
            What the key is for.
        limits : mapping, optional
            Such as ``{"calls_per_second": 10, "calls_per_day": 1000}``.
        """
        body = {
            "services": [services] if isinstance(services, str) else list(services),
            "scopes": list(scopes),
            "expires": expires,
            "note": note,
            "limits": dict(limits or {}),
        }
        request = Request("POST", "keys", headers=JSON, content=_json(body))
        return dict(raise_for_error((yield request)).json())

    @_operation
    def revoke_key(self, id: str) -> Operation[None]:
        """Revoke an API key; it is refused from the next call on."""
        raise_for_error((yield Request("DELETE", f"keys/{quote(id, safe='')}")))

    @_operation
    def limits(self, name: str) -> Operation[dict[str, Any]]:
        """Return the limits that were set for one of your services."""
        return operations.get_of_service(self._specs, name, "limits")

    @_operation
    def set_limits(
        self,
        name: str,
        limits: Mapping[str, Any],
        visitors: Mapping[str, Any] | None = None,
    ) -> Operation[dict[str, Any]]:
        """Set the limits of one of your services, and return them.

        Parameters
        ----------
        name : str
        limits : mapping
            Of all calls together, such as ``{"concurrent": 4}``.
        visitors : mapping, optional
            Of calls without a login; by default those of the server.
        """
        full = yield from operations.full_name(self._specs, name)
        body = {"all": dict(limits), "visitors": None if visitors is None else dict(visitors)}
        path = operations.service_path(full, "limits")
        request = Request("PUT", path, headers=JSON, content=_json(body))
        return dict(raise_for_error((yield request)).json())

    @_operation
    def usage(
        self, *, since: str = "", until: str = "", service: str = "", user: str = "", key: str = ""
    ) -> Operation[list[dict[str, Any]]]:
        """Return the usage of your services and your own, by day, service, user and API key.

        Parameters
        ----------
        since, until : str, optional
            Days such as ``"2026-01-31"``; by default the last 30 days.
        service, user, key : str, optional
            Only this service, user, or API key.
        """
        asked = {"since": since, "until": until, "service": service, "user": user, "key": key}
        return operations.get_listed("usage", asked, "usage")

    @_operation
    def audit(
        self, *, after: int = 0, limit: int = 1000, action: str = "", target: str = ""
    ) -> Operation[list[dict[str, Any]]]:
        """Return events of the audit log, oldest first.

        Parameters
        ----------
        after : int, default 0
            Only events after the one with this ``id``.
        limit : int, default 1000
        action, target : str, optional
            Only this action, such as ``"key.create"``, or events of this service, key or user.
        """
        asked = {"after": after, "limit": limit, "action": action, "target": target}
        request = Request("GET", "audit", params={k: v for k, v in asked.items() if v})
        lines = raise_for_error((yield request)).body.splitlines()
        return [json.loads(line) for line in lines]

    @_operation
    def placements(self) -> Operation[list[dict[str, Any]]]:
        """Return the placements of the server, with their nodes and what runs on each."""
        response = raise_for_error((yield Request("GET", "placements", HUB_SECONDS)))
        return list(response.json()["placements"])

    @_operation
    def transfer_services(self, old: str, new: str) -> Operation[dict[str, str]]:
        """Transfer all services of a user to another; return their new names by the old ones."""
        path = f"hub/users/{quote(old, safe='')}/transfer"
        request = Request("POST", path, HUB_SECONDS, JSON, content=_json({"to": new}))
        return dict(raise_for_error((yield request)).json()["moved"])

    @_operation
    def remove_user(self, name: str) -> Operation[list[str]]:
        """Remove a user's services and access; return the names of the removed services."""
        request = Request("DELETE", f"hub/users/{quote(name, safe='')}", HUB_SECONDS)
        return list(raise_for_error((yield request)).json()["removed"])


class Admin(_Operations):
    """Manage the services of a server: ``client.admin``."""


class AsyncAdmin(_Operations):
    """Manage the services of a server: await each method of ``client.admin``."""


def _access(
    specs: SpecCache, name: str, body: Mapping[str, Any] | None = None
) -> Operation[dict[str, Any]]:
    """Return the access to a service, after replacing it with ``body`` if given."""
    path = operations.service_path((yield from operations.full_name(specs, name)), "access")
    if not specs.shared:
        raise NotShared
    if body is None:
        return dict((yield from operations.get(path)))
    request = Request("PUT", path, headers=JSON, content=_json(body))
    return dict(raise_for_error((yield request)).json())


def _bundle_status(response: Response) -> dict[str, Any]:
    status = raise_for_error(response).json()
    if not isinstance(status, dict) or "state" not in status or "bundle" not in status:
        raise ServerUnreachable("The server at this URL does not run easymlnb. Check the URL.")
    return status


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()


def access_body(
    users: Iterable[str], groups: Iterable[str], everyone: bool, public: bool
) -> dict[str, Any]:
    """Return the body that sets the access to a service; raises ``TypeError`` for invalid names."""
    for what, value in (("everyone", everyone), ("public", public)):
        if not isinstance(value, bool):
            raise TypeError(f"{what} must be True or False, not {value!r}.")
    return {
        "users": _names("users", "bob", users),
        "groups": _names("groups", "ml", groups),
        "everyone": everyone,
        "public": public,
    }


def _names(what: str, example: str, given: Iterable[str]) -> list[str]:
    names = [] if isinstance(given, str | bytes | Mapping) else list(given)
    if isinstance(given, str | bytes | Mapping) or not all(
        isinstance(name, str) and name.strip() for name in names
    ):
        raise TypeError(f"{what} must be a list of names, such as {what}=[{example!r}].")
    return list(dict.fromkeys(name.strip() for name in names))
