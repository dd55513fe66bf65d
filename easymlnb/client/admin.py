"""``client.admin``: manage the services of a server. Both clients have the same methods."""

import inspect
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, get_args, overload
from urllib.parse import quote

from easymlnb.client import operations, recorded
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
    def maintainers(self, name: str) -> Operation[dict[str, Any]]:
        """Return who may publish and manage a service besides its owner: ``users``, ``groups``."""
        return operations.get_of_service(self._specs, name, "maintainers")

    @_operation
    def set_maintainers(
        self, name: str, *, users: Iterable[str] = (), groups: Iterable[str] = ()
    ) -> Operation[dict[str, Any]]:
        """Replace the maintainers of one of your services on a shared service."""
        full = yield from operations.full_name(self._specs, name)
        body = {"users": _names("users", "bob", users), "groups": _names("groups", "ml", groups)}
        path = operations.service_path(full, "maintainers")
        request = Request("PUT", path, headers=JSON, content=_json(body))
        return dict(raise_for_error((yield request)).json())

    @_operation
    def transfer(self, name: str, to: str) -> Operation[str]:
        """Give a service to ``"group:NAME"``, or as an administrator to a user; return its name."""
        full = yield from operations.full_name(self._specs, name)
        self._specs.drop(full)
        path = operations.service_path(full, "transfer")
        request = Request("POST", path, HUB_SECONDS, JSON, content=_json({"to": to}))
        return str(raise_for_error((yield request)).json()["moved"][full])

    @_operation
    def ownerless(self) -> Operation[list[dict[str, Any]]]:
        """Return the services whose owner or worker account is gone; for administrators."""
        response = raise_for_error((yield Request("GET", "hub/ownerless", HUB_SECONDS)))
        return list(response.json()["services"])

    @_operation
    def credentials(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the credentials of one of your services: names and times, without values."""
        return operations.get_of_service(self._specs, name, "credentials", key="credentials")

    @_operation
    def set_credential(self, name: str, credential: str, value: str) -> Operation[dict[str, Any]]:
        """Set the value that ``ml.credential(credential)`` returns in a service of yours.

        The service need not be published yet. Its workers have the value at once.
        """
        path = yield from _credential_path(self._specs, name, credential)
        request = Request("PUT", path, headers=JSON, content=_json({"value": value}))
        return dict(raise_for_error((yield request)).json())

    @_operation
    def remove_credential(self, name: str, credential: str) -> Operation[None]:
        """Remove a credential of one of your services."""
        path = yield from _credential_path(self._specs, name, credential)
        raise_for_error((yield Request("DELETE", path)))

    @_operation
    def upload_bundle(
        self, data: bytes, *, names: Iterable[str] = (), replace: str = AUTO, owner: str = ""
    ) -> Operation[dict[str, Any]]:
        """Publish a bundle, or only these of its services, and return its first status.

        ``replace`` is one of ``contract.replacing.CHOICES``. ``owner`` is a group of yours, or a
        user whose services you maintain.
        """
        params = [("name", name) for name in names]
        params += [("replace", check(replace))] if replace != AUTO else []
        params += [("owner", owner)] if owner else []
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

    @_operation
    def flag(
        self,
        name: str,
        reason: str,
        *,
        request_id: str = "",
        input: Mapping[str, Any] | None = None,
        result: Any = None,
        version: str = "",
    ) -> Operation[dict[str, Any]]:
        """Keep one call of a service with its inputs and result, and return its ``id``.

        Parameters
        ----------
        name : str
        reason : str
            Why the call is kept.
        request_id : str, optional
            The call, if a form or an app page made it in the last minutes, or if it was recorded.
        input, result : optional
            The JSON values of any other call.
        version : str, optional
            The version that answered such a call.

        Raises
        ------
        CallNotFound
            The server does not have this call.
        TooManyFlags
            The caller, or all callers of the service, flagged too many calls.
        """
        body: dict[str, Any] = {"reason": reason}
        body |= {"request_id": request_id} if request_id else {}
        body |= {"input": dict(input), "result": result} if input is not None else {}
        body |= {"version": version} if version else {}
        return recorded.flag(self._specs, name, body)

    @_operation
    def flags(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the flagged calls of one of your services, newest first."""
        return recorded.records(self._specs, name, "flagged")

    @_operation
    def records(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the recorded and flagged calls of one of your services, newest first."""
        return recorded.records(self._specs, name, "")

    @_operation
    def record(self, name: str, id: str) -> Operation[dict[str, Any]]:
        """Return a recorded call: ``record``, ``input`` and ``result`` as JSON values."""
        return operations.get_of_service(self._specs, name, "records", id)

    @_operation
    def record_inputs(self, name: str, id: str) -> Operation[dict[str, Any]]:
        """Return the inputs of a recorded call as Python objects, to call the service again."""
        return recorded.inputs(self._specs, name, id)

    @_operation
    def record_code(self, name: str, id: str) -> Operation[str]:
        """Return a notebook's cell that repeats a recorded call."""
        return recorded.code(self._specs, name, id)

    @_operation
    def records_dataset(
        self, name: str, *, kind: str = "flagged", format: str = "zip"
    ) -> Operation[bytes]:
        """Return all ``flagged`` or ``recorded`` calls as a file: zip, csv or jsonl."""
        return recorded.dataset(self._specs, name, kind, format)

    @_operation
    def remove_records(
        self, name: str, *, id: str = "", caller: str = "", kind: str = ""
    ) -> Operation[int]:
        """Delete recorded and flagged calls and return how many; all of them unless restricted.

        ``id`` is one call, ``caller`` a user (``"me"``: your own), ``kind`` is ``recorded`` or
        ``flagged``.
        """
        return recorded.remove(self._specs, name, id, caller, kind)

    @_operation
    def compare(
        self,
        name: str,
        before: int | str,
        after: int | str,
        *,
        on: str = "examples",
        limit: int | None = None,
        relative: float | None = None,
        absolute: float | None = None,
        wait: bool = True,
    ) -> Operation[dict[str, Any]]:
        """Compare two versions of one of your services on the same inputs.

        Parameters
        ----------
        name : str
        before, after : int or str
            Version numbers or aliases.
        on : str, default "examples"
            ``"examples"``, ``"recorded"`` or ``"flagged"`` calls, or the path of a table of inputs
            (CSV or JSON lines).
        limit : int, default 200
            Largest number of inputs.
        relative, absolute : float, optional
            How far numbers may be apart. Default: 1e-6 and 1e-9.
        wait : bool, default True
            ``False`` returns as soon as the server has accepted it.

        Returns
        -------
        dict
            ``id``, ``state``, ``summary`` and ``items``.

        Raises
        ------
        IncompatibleVersions
            The versions do not take the same inputs.
        VersionNotFound
            The service has no such version.
        """
        tolerance = {"relative": relative, "absolute": absolute}
        given = {key: value for key, value in tolerance.items() if value is not None}
        body: dict[str, Any] = {"versions": [before, after]}
        body |= {"tolerance": given} if given else {}
        body |= {"limit": limit} if limit is not None else {}
        return recorded.compare(self._specs, name, body, on, wait)

    @_operation
    def comparison(self, id: str) -> Operation[dict[str, Any]]:
        """Return a comparison with what is known so far."""
        return operations.get(f"comparisons/{id}")

    @_operation
    def comparisons(self, name: str) -> Operation[list[dict[str, Any]]]:
        """Return the comparisons of one of your services, newest first."""
        return operations.get_of_service(self._specs, name, "comparisons", key="comparisons")

    @_operation
    def remove_comparison(self, id: str) -> Operation[None]:
        """Stop and delete a comparison."""
        raise_for_error((yield Request("DELETE", f"comparisons/{id}")))


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
