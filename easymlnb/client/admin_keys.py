"""``client.admin``: API keys, limits, usage and the audit log."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from easymlnb.client import operations
from easymlnb.client.admin_method import Operations, operation
from easymlnb.client.messages import Operation, Request, raise_for_error

JSON = {"Content-Type": "application/json"}


class KeyOperations(Operations):
    """Create, list and revoke API keys; limit calls; read usage and the audit log."""

    @operation
    def keys(self, owner: str = "") -> Operation[list[dict[str, Any]]]:
        """Return your API keys, newest first; administrators name another ``owner`` or ``"*"``."""
        return operations.get_listed("keys", {"owner": owner}, "keys")

    @operation
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
        request = Request("POST", "keys", headers=JSON, content=json.dumps(body).encode())
        return dict(raise_for_error((yield request)).json())

    @operation
    def revoke_key(self, id: str) -> Operation[None]:
        """Revoke an API key; it is refused from the next call on."""
        raise_for_error((yield Request("DELETE", f"keys/{quote(id, safe='')}")))

    @operation
    def limits(self, name: str) -> Operation[dict[str, Any]]:
        """Return the limits that were set for one of your services."""
        return operations.get_of_service(self._specs, name, "limits")

    @operation
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
        request = Request("PUT", path, headers=JSON, content=json.dumps(body).encode())
        return dict(raise_for_error((yield request)).json())

    @operation
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

    @operation
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
