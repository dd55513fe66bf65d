"""``client.admin``: manage the services of a server. Both clients have the same methods."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from easymlnb.client import operations
from easymlnb.client.admin_methods import Async, Sync
from easymlnb.client.admin_methods import operation as _operation
from easymlnb.client.admin_recorded import RecordedOperations
from easymlnb.client.checkout import Checkout, check_empty, write_checkout
from easymlnb.client.messages import Operation, Request, Response, raise_for_error
from easymlnb.client.operations import SpecCache
from easymlnb.contract.errors import NotShared, ServerUnreachable
from easymlnb.contract.replacing import AUTO, check
from easymlnb.contract.spec import ServiceSpec

UPLOAD_SECONDS = 300.0
DIFF_SECONDS = 180.0
HUB_SECONDS = 60.0
"""Timeout of requests for which the server asks its Hub."""
TRAFFIC_SECONDS = 660.0
"""Timeout of requests that wait until workers of a version have started."""
TRAFFIC = ("weights", "aliases", "sticky", "shadow")
JSON = {"Content-Type": "application/json"}


class _Operations(RecordedOperations):
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
    def traffic(self, name: str) -> Operation[dict[str, Any]]:
        """Return which versions answer the calls of a service.

        The keys are ``weights``, ``aliases``, ``sticky``, ``shadow``, ``rollback`` and
        ``promotion``; ``etag`` identifies this state.
        """
        return _traffic(self._specs, name, "GET", "traffic")

    @_operation
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
        IncompatibleVersion
            A version would break callers of the one that answers now.
        DeploymentFailed
            A version did not start; the traffic is unchanged.
        """
        body = traffic_body(changes)
        headers = {"If-Match": if_match} if if_match else {}
        return _traffic(self._specs, name, "PUT", "traffic", body, headers, force)

    @_operation
    def rollback(self, name: str) -> Operation[dict[str, Any]]:
        """Give all calls to the version that had them before, and return the new traffic."""
        return _traffic(self._specs, name, "POST", "rollback", {})

    @_operation
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
            ``error_rate_ratio`` (default 2), ``p95_ratio`` (1.5) and ``min_calls`` (100).
        force : bool, default False
            Promote a version that would break callers.
        """
        body: dict[str, Any] = {"version": version, "steps": list(steps), "every": every}
        body |= {"abort_if": dict(abort_if)} if abort_if is not None else {}
        return _traffic(self._specs, name, "POST", "promotions", body, force=force)

    @_operation
    def promotions(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the latest promotions of a service, newest first."""
        return operations.get_of_service(self._specs, name, "promotions", key="promotions")

    @_operation
    def cancel_promotion(self, name: str, promotion: str) -> Operation[dict[str, Any]]:
        """Cancel a promotion, and go back; return the promotion."""
        return _traffic(self._specs, name, "DELETE", f"promotions/{promotion}")

    @_operation
    def pause_promotion(
        self, name: str, promotion: str, *, paused: bool = True
    ) -> Operation[dict[str, Any]]:
        """Have a promotion stay at its step, or continue if ``paused`` is false."""
        what = "pause" if paused else "resume"
        return _traffic(self._specs, name, "POST", f"promotions/{promotion}/{what}", {})

    @_operation
    def delete_version(self, name: str, version: int | str) -> Operation[None]:
        """Delete a version that no traffic, alias, promotion or job refers to."""
        full = yield from operations.full_name(self._specs, name)
        path = operations.service_path(full, "versions", quote(str(version), safe=""))
        raise_for_error((yield Request("DELETE", path)))

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
        self,
        data: bytes,
        *,
        names: Iterable[str] = (),
        replace: str = AUTO,
        stage: bool = False,
        force: bool = False,
    ) -> Operation[dict[str, Any]]:
        """Publish a bundle, or only these of its services, and return its first status.

        ``replace`` is one of ``contract.replacing.CHOICES``. With ``stage`` the new version gets no
        traffic; with ``force`` it does although it would break callers.
        """
        params = [("name", name) for name in names]
        params += [("replace", check(replace))] if replace != AUTO else []
        params += [(key, "true") for key, given in (("stage", stage), ("force", force)) if given]
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
    def provenance(self, name: str, version: int | str) -> Operation[dict[str, Any]]:
        """Return who published a version, when, from which files, packages and commit."""
        return _of_version(self._specs, name, version, "provenance")

    @_operation
    def version_diff(
        self, name: str, version: int | str, to: int | str | None = None
    ) -> Operation[dict[str, Any]]:
        """Return the difference from one version to another: cells, files, packages, text.

        Without ``to`` it is the difference from the previous version to this one.
        """
        return _of_version(self._specs, name, version, "diff", to)

    @_operation
    def version_bundle(self, name: str, version: int | str) -> Operation[bytes]:
        """Return the bundle of a version, a zip."""
        return _download(self._specs, name, version, "bundle")

    @_operation
    def version_crate(self, name: str, version: int | str) -> Operation[bytes]:
        """Return a version as an RO-Crate, a zip."""
        return _download(self._specs, name, version, "crate")

    @_operation
    def checkout(self, name: str, version: int | str, folder: str | Path) -> Operation[Checkout]:
        """Write the notebook, the files and the requirements of a version to a new folder.

        Parameters
        ----------
        name : str
        version : int or str
            A number, or an alias.
        folder : str or Path
            A folder that is empty or does not exist.

        Raises
        ------
        FileExistsError
            The folder is not empty.
        """
        check_empty(Path(folder))
        data = yield from _download(self._specs, name, version, "bundle")
        return write_checkout(data, Path(folder))

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


class Admin(_Operations, Sync):
    """Manage the services of a server: ``client.admin``."""


class AsyncAdmin(_Operations, Async):
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


def _of_version(
    specs: SpecCache, name: str, version: int | str, what: str, to: int | str | None = None
) -> Operation[Any]:
    path = yield from _version_path(specs, name, version, what)
    params = () if to is None else (("to", str(to)),)
    request = Request("GET", path, DIFF_SECONDS, params=params)
    return raise_for_error((yield request)).json()


def _download(specs: SpecCache, name: str, version: int | str, what: str) -> Operation[bytes]:
    path = yield from _version_path(specs, name, version, what)
    return raise_for_error((yield Request("GET", path, UPLOAD_SECONDS))).body


def _version_path(specs: SpecCache, name: str, version: int | str, what: str) -> Operation[str]:
    full = yield from operations.full_name(specs, name)
    return operations.service_path(full, "versions", quote(str(version), safe=""), what)


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
        _json(body) if body is not None else None,
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
