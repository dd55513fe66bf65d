"""``client.admin``: manage the services of a server. Both clients have the same methods."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from easymlnb.client import operations
from easymlnb.client.admin_events import EventOperations
from easymlnb.client.admin_jobs import JobRuleOperations
from easymlnb.client.admin_keys import KeyOperations
from easymlnb.client.admin_method import Awaited, Blocking, operation
from easymlnb.client.admin_recorded import RecordedOperations
from easymlnb.client.admin_traffic import TrafficOperations
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
JSON = {"Content-Type": "application/json"}


class _Operations(
    TrafficOperations, RecordedOperations, KeyOperations, JobRuleOperations, EventOperations
):
    @operation
    def full_name(self, name: str) -> Operation[str]:
        """Return the name with its owner on a shared service; a short name is your own."""
        return operations.full_name(self._specs, name)

    @operation
    def services(
        self,
        q: str = "",
        *,
        tag: Iterable[str] | None = None,
        license: str = "",
        task: str = "",
        library: str = "",
    ) -> Operation[list[dict[str, Any]]]:
        """Return name, title, state, version and more of each service that matches.

        Parameters
        ----------
        q : str, optional
            Words that must all match names, texts, tags or metadata.
        tag : iterable of str, optional
            Tags that it must have.
        license, task, library : str, optional
            Values in its metadata, such as ``"CC-BY-4.0"``, in any case.
        """
        tags = [tag] if isinstance(tag, str) else list(tag or ())
        query = {"q": q, "tag": tags, "license": license, "task": task, "library": library}
        return operations.services(query)

    @operation
    def catalog_metadata(self, name: str = "", format: str = "mldcat-ap") -> Operation[Any]:
        """Return the metadata of a service, or of all, in the format of another catalog.

        Parameters
        ----------
        name : str, optional
            The service. Default: all that you may see.
        format : str, default "mldcat-ap"
            ``"ai4os"``, ``"mldcat-ap"``, ``"deep"`` or ``"schema.org"``.
        """
        path = "metadata"
        if name:
            full = yield from operations.full_name(self._specs, name)
            path = operations.service_path(full, "metadata")
        response = yield Request("GET", path, params={"format": format})
        return raise_for_error(response).json()

    @operation
    def quality(self, name: str, version: int | str) -> Operation[dict[str, Any]]:
        """Return what the quality gate found in a version: ``passed``, ``counts``, ``findings``."""
        return _of_version(self._specs, name, version, "quality")

    @operation
    def service(self, name: str) -> Operation[dict[str, Any]]:
        """Return a service's spec with its state and version."""
        return operations.get_of_service(self._specs, name)

    @operation
    def spec(self, name: str) -> Operation[ServiceSpec]:
        """Return a service's spec; it is cached for 30 seconds."""
        return operations.spec(self._specs, name)

    @operation
    def versions(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the published versions of a service, oldest first."""
        return operations.get_of_service(self._specs, name, "versions", key="versions")

    @operation
    def log(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the last 200 calls of a service with their output, newest last."""
        return operations.get_of_service(self._specs, name, "log", key="entries")

    @operation
    def health(self) -> Operation[dict[str, Any]]:
        """Return whether the server accepts calls: ``{"status": "ok"}``, or what is not ready."""
        response = yield Request("GET", "health/ready")
        if response.status == 503 and response.content_type.startswith("application/json"):
            state = response.json()
            if isinstance(state, dict) and "status" in state:
                return state
        return dict(raise_for_error(response).json())

    @operation
    def remove(self, name: str) -> Operation[None]:
        """Remove a published service with all its versions."""
        full = yield from operations.full_name(self._specs, name)
        self._specs.drop(full)
        raise_for_error((yield Request("DELETE", operations.service_path(full))))

    @operation
    def access(self, name: str) -> Operation[dict[str, Any]]:
        """Return who can call a service: ``users``, ``groups``, ``everyone``, ``public``."""
        return _access(self._specs, name)

    @operation
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

    @operation
    def maintainers(self, name: str) -> Operation[dict[str, Any]]:
        """Return who may publish and manage a service besides its owner: ``users``, ``groups``."""
        return operations.get_of_service(self._specs, name, "maintainers")

    @operation
    def set_maintainers(
        self, name: str, *, users: Iterable[str] = (), groups: Iterable[str] = ()
    ) -> Operation[dict[str, Any]]:
        """Replace the maintainers of one of your services on a shared service."""
        full = yield from operations.full_name(self._specs, name)
        body = {"users": _names("users", "bob", users), "groups": _names("groups", "ml", groups)}
        path = operations.service_path(full, "maintainers")
        request = Request("PUT", path, headers=JSON, content=_json(body))
        return dict(raise_for_error((yield request)).json())

    @operation
    def transfer(self, name: str, to: str) -> Operation[str]:
        """Give a service to ``"group:NAME"``, or as an administrator to a user; return its name."""
        full = yield from operations.full_name(self._specs, name)
        self._specs.drop(full)
        path = operations.service_path(full, "transfer")
        request = Request("POST", path, HUB_SECONDS, JSON, content=_json({"to": to}))
        return str(raise_for_error((yield request)).json()["moved"][full])

    @operation
    def ownerless(self) -> Operation[list[dict[str, Any]]]:
        """Return the services whose owner or worker account is gone; for administrators."""
        response = raise_for_error((yield Request("GET", "hub/ownerless", HUB_SECONDS)))
        return list(response.json()["services"])

    @operation
    def credentials(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the credentials of one of your services: names and times, without values."""
        return operations.get_of_service(self._specs, name, "credentials", key="credentials")

    @operation
    def set_credential(self, name: str, credential: str, value: str) -> Operation[dict[str, Any]]:
        """Set the value that ``ml.credential(credential)`` returns in a service of yours.

        The service need not be published yet. Its workers have the value at once.
        """
        path = yield from _credential_path(self._specs, name, credential)
        request = Request("PUT", path, headers=JSON, content=_json({"value": value}))
        return dict(raise_for_error((yield request)).json())

    @operation
    def remove_credential(self, name: str, credential: str) -> Operation[None]:
        """Remove a credential of one of your services."""
        path = yield from _credential_path(self._specs, name, credential)
        raise_for_error((yield Request("DELETE", path)))

    @operation
    def upload_bundle(
        self,
        data: bytes,
        *,
        names: Iterable[str] = (),
        replace: str = AUTO,
        stage: bool = False,
        force: bool = False,
        owner: str = "",
        gate: Mapping[str, str] | None = None,
    ) -> Operation[dict[str, Any]]:
        """Publish a bundle, or only these of its services, and return its first status.

        ``replace`` is one of ``contract.replacing.CHOICES``. With ``stage`` the new version gets no
        traffic; with ``force`` it does although it would break callers. ``owner`` is a group of
        yours, or a user whose services you maintain. ``gate`` asks for the quality gate, with
        severities by check or rule.
        """
        params = [("name", name) for name in names]
        params += [("replace", check(replace))] if replace != AUTO else []
        params += [(key, "true") for key, given in (("stage", stage), ("force", force)) if given]
        params += [("owner", owner)] if owner else []
        params += [("gate", "true")] if gate is not None else []
        params += [("severity", f"{rule}={level}") for rule, level in (gate or {}).items()]
        headers = {"Content-Type": "application/zip"}
        request = Request("POST", "services", UPLOAD_SECONDS, headers, tuple(params), data)
        return _bundle_status((yield request))

    @operation
    def bundle(self, bundle: str) -> Operation[dict[str, Any]]:
        """Return the status of a bundle: its ``state``, services, reason or error."""
        return _bundle_status((yield Request("GET", f"bundles/{bundle}")))

    @operation
    def cancel_bundle(self, bundle: str) -> Operation[None]:
        """Cancel publishing; the previous version stays online."""
        raise_for_error((yield Request("DELETE", f"bundles/{bundle}")))

    @operation
    def provenance(self, name: str, version: int | str) -> Operation[dict[str, Any]]:
        """Return who published a version, when, from which files, packages and commit."""
        return _of_version(self._specs, name, version, "provenance")

    @operation
    def version_diff(
        self, name: str, version: int | str, to: int | str | None = None
    ) -> Operation[dict[str, Any]]:
        """Return the difference from one version to another: cells, files, packages, text.

        Without ``to`` it is the difference from the previous version to this one.
        """
        return _of_version(self._specs, name, version, "diff", to)

    @operation
    def version_bundle(self, name: str, version: int | str) -> Operation[bytes]:
        """Return the bundle of a version, a zip."""
        return _download(self._specs, name, version, "bundle")

    @operation
    def version_crate(self, name: str, version: int | str) -> Operation[bytes]:
        """Return a version as an RO-Crate, a zip."""
        return _download(self._specs, name, version, "crate")

    @operation
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

    @operation
    def placements(self) -> Operation[list[dict[str, Any]]]:
        """Return the placements of the server, with their nodes and what runs on each."""
        response = raise_for_error((yield Request("GET", "placements", HUB_SECONDS)))
        return list(response.json()["placements"])

    @operation
    def transfer_services(self, old: str, new: str) -> Operation[dict[str, str]]:
        """Transfer all services of a user to another; return their new names by the old ones."""
        path = f"hub/users/{quote(old, safe='')}/transfer"
        request = Request("POST", path, HUB_SECONDS, JSON, content=_json({"to": new}))
        return dict(raise_for_error((yield request)).json()["moved"])

    @operation
    def remove_user(self, name: str) -> Operation[list[str]]:
        """Remove a user's services and access; return the names of the removed services."""
        request = Request("DELETE", f"hub/users/{quote(name, safe='')}", HUB_SECONDS)
        return list(raise_for_error((yield request)).json()["removed"])


class Admin(_Operations, Blocking):
    """Manage the services of a server: ``client.admin``."""


class AsyncAdmin(_Operations, Awaited):
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


def _credential_path(specs: SpecCache, name: str, credential: str) -> Operation[str]:
    full = yield from operations.full_name(specs, name)
    return operations.service_path(full, "credentials", quote(credential, safe=""))


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
