"""Which versions of a service answer calls: a part of ``client.admin``."""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from easymlnb.client import operations
from easymlnb.client.admin_method import Operations, operation
from easymlnb.client.messages import Operation, Request, raise_for_error
from easymlnb.client.operations import SpecCache

TRAFFIC_SECONDS = 660.0
"""Timeout of requests that wait until workers of a version have started."""
TRAFFIC = ("weights", "aliases", "sticky", "shadow")
JSON = {"Content-Type": "application/json"}


class TrafficOperations(Operations):
    """Versions, traffic and promotions."""

    @operation
    def traffic(self, name: str) -> Operation[dict[str, Any]]:
        """Return which versions answer the calls of a service.

        The keys are ``weights``, ``aliases``, ``sticky``, ``shadow``, ``rollback`` and
        ``promotion``; ``etag`` identifies this state.
        """
        return _traffic(self._specs, name, "GET", "traffic")

    @operation
    def set_traffic(
        self, name: str, changes: Mapping[str, Any], *, if_match: str = "", force: bool = False
    ) -> Operation[dict[str, Any]]:
        """Change which versions answer the calls of a service, and return the new state.

        Parameters
        ----------
        name : str
        changes : dict
            ``weights``: percentages by version number or alias; they add up to 100. ``aliases``:
            version numbers by name. ``sticky``: ``"caller"``, ``"header:NAME"`` or ``None``.
            ``shadow``: ``{"version": 4, "share": 0.1}`` or ``None``.
        if_match : str, optional
            The ``etag`` that the traffic must have, else ``TrafficChanged`` is raised.
        force : bool, default False
            Give traffic to versions that would break callers.

        Raises
        ------
        BreakingVersion
            A version would break callers of the one that answers now.
        DeploymentFailed
            A version did not start; the traffic is unchanged.
        """
        body = traffic_body(changes)
        headers = {"If-Match": if_match} if if_match else {}
        return _traffic(self._specs, name, "PUT", "traffic", body, headers, force)

    @operation
    def rollback(self, name: str) -> Operation[dict[str, Any]]:
        """Give all calls to the version that had them before, and return the new traffic."""
        return _traffic(self._specs, name, "POST", "rollback", {})

    @operation
    def promote(
        self,
        name: str,
        version: int | str,
        *,
        steps: Iterable[float] = (5, 25, 50, 100),
        every: float | str = "10m",
        abort_if: Mapping[str, Any] | None = None,
        force: bool = False,
    ) -> Operation[dict[str, Any]]:
        """Move the calls to a version in steps, and return the promotion.

        Parameters
        ----------
        name : str
        version : int or str
            A number or an alias.
        steps : iterable of float, default (5, 25, 50, 100)
            Percentages of the calls.
        every : float or str, default "10m"
            Duration of a step.
        abort_if : dict, optional
            ``error_rate_ratio`` (default 2), ``p95_ratio`` (1.5), ``memory_ratio`` (2) and
            ``min_calls`` (100).
        force : bool, default False
            Promote a version that would break callers.
        """
        body: dict[str, Any] = {"version": version, "steps": list(steps), "every": every}
        body |= {"abort_if": dict(abort_if)} if abort_if is not None else {}
        return _traffic(self._specs, name, "POST", "promotions", body, force=force)

    @operation
    def promotions(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the latest promotions of a service, newest first."""
        return operations.get_of_service(self._specs, name, "promotions", key="promotions")

    @operation
    def cancel_promotion(self, name: str, promotion: str) -> Operation[dict[str, Any]]:
        """Cancel a promotion, and go back; return the promotion."""
        return _traffic(self._specs, name, "DELETE", f"promotions/{promotion}")

    @operation
    def pause_promotion(
        self, name: str, promotion: str, *, paused: bool = True
    ) -> Operation[dict[str, Any]]:
        """Have a promotion stay at its step, or continue if ``paused`` is false."""
        what = "pause" if paused else "resume"
        return _traffic(self._specs, name, "POST", f"promotions/{promotion}/{what}", {})

    @operation
    def delete_version(self, name: str, version: int | str) -> Operation[None]:
        """Delete a version that no traffic, alias, promotion or job refers to."""
        full = yield from operations.full_name(self._specs, name)
        path = operations.service_path(full, "versions", quote(str(version), safe=""))
        raise_for_error((yield Request("DELETE", path)))


def _traffic(
    specs: SpecCache,
    name: str,
    method: str,
    route: str,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    force: bool = False,
) -> Operation[dict[str, Any]]:
    """Make a request about the traffic of a service, and return its response."""
    path = operations.service_path((yield from operations.full_name(specs, name)), route)
    request = Request(
        method,
        path,
        TRAFFIC_SECONDS,
        {**JSON, **headers} if body is not None else dict(headers),
        {"force": "true"} if force else {},
        json.dumps(body).encode() if body is not None else None,
    )
    response = raise_for_error((yield request))
    etag = response.headers.get("etag", "")
    return dict(response.json()) | ({"etag": etag} if etag else {})


def traffic_body(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a change of traffic; raises ``TypeError`` for unknown fields."""
    if unknown := sorted(changes.keys() - TRAFFIC):
        raise TypeError(f"Unknown option {unknown[0]!r}. Use one of: {', '.join(TRAFFIC)}.")
    body = dict(changes)
    if isinstance(body.get("weights"), Mapping):
        body["weights"] = {str(name): weight for name, weight in body["weights"].items()}
    return body
