"""``client.models``: the trained models of a server. Both clients have the same methods."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from easymlnb.client import operations
from easymlnb.client.admin_method import Awaited, Blocking, Operations, operation
from easymlnb.client.messages import Operation, Request, raise_for_error
from easymlnb.contract import model_names

JSON = {"Content-Type": "application/json"}
ZIP = {"Content-Type": "application/zip"}
TRANSFER_SECONDS = 900.0

UNCHANGED: Any = object()
"""In place of the version that an alias must name: it does not matter."""

Items = list[dict[str, Any]]

OWN = "~/"
"""Before a name without an owner: one's own model, also on a shared service."""


class _Operations(Operations):
    @operation
    def get(self, name: str) -> Operation[dict[str, Any]]:
        """Return a model with its aliases, versions and the services that load it."""
        return operations.get(_path(name))

    @operation
    def create(
        self, name: str, *, title: str = "", description: str = "", tags: Mapping[str, str] = {}
    ) -> Operation[dict[str, Any]]:
        """Create a model without versions; saving a version does so too."""
        texts = {"title": title, "description": description, "tags": dict(tags)}
        return _send("POST", "models", {"name": name, **texts})

    @operation
    def change(
        self,
        name: str,
        *,
        title: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        access: Mapping[str, Any] | None = None,
    ) -> Operation[dict[str, Any]]:
        """Change the texts or tags of a model, or who may load it on a shared service."""
        texts = {"title": title, "description": description, "tags": tags, "access": access}
        return _send("PATCH", _path(name), _given(texts))

    @operation
    def delete(self, name: str) -> Operation[None]:
        """Delete a model with all its versions; refused while published services load it."""
        return _delete(_path(name))

    @operation
    def versions(self, name: str) -> Operation[Items]:
        """Return the versions of a model, newest first."""
        return operations.get(_path(name, "versions"), "versions")

    @operation
    def version(self, name: str, version: int | str = "") -> Operation[dict[str, Any]]:
        """Return a version with its files and learning curves.

        Parameters
        ----------
        name : str
            Also ``name@alias`` or ``models:/name/3``.
        version : int or str, default latest
            A number or an alias.
        """
        return operations.get(_version_path(name, version))

    @operation
    def change_version(
        self,
        name: str,
        version: int | str,
        *,
        note: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Operation[dict[str, Any]]:
        """Change the note or the tags of a version."""
        return _send("PATCH", _version_path(name, version), _given({"note": note, "tags": tags}))

    @operation
    def trust(self, name: str, version: int | str) -> Operation[dict[str, Any]]:
        """Allow your own code to open an uploaded version whose format can run code."""
        return _send("PATCH", _version_path(name, version), {"trusted": True})

    @operation
    def delete_version(self, name: str, version: int | str) -> Operation[None]:
        """Delete a version; its number is not used again."""
        return _delete(_version_path(name, version))

    @operation
    def alias(
        self, name: str, alias: str, version: int, *, expected: int | None = UNCHANGED
    ) -> Operation[dict[str, Any]]:
        """Let an alias name a version; running services load it between two calls.

        Parameters
        ----------
        name : str
        alias : str
            Such as ``"production"``.
        version : int
        expected : int or None, optional
            The version that it must name now, ``None`` for none.

        Raises
        ------
        AliasChanged
            The alias names another version than ``expected``.
        """
        body: dict[str, Any] = {"version": version}
        if expected is not UNCHANGED:
            body["if"] = expected
        return _send("PUT", _path(name, "aliases", alias), body)

    @operation
    def remove_alias(self, name: str, alias: str) -> Operation[None]:
        """Remove an alias; refused while published services load it."""
        return _delete(_path(name, "aliases", alias))

    @operation
    def compare(self, name: str, versions: Iterable[int | str]) -> Operation[dict[str, Any]]:
        """Return the metrics and parameters of versions side by side."""
        return _compare(name, versions)

    @operation
    def export(
        self, name: str, version: int | str, target: Path | str, *, format: str = "mlflow"
    ) -> Operation[Path]:
        """Write a version to a zip; ``format`` is ``mlflow`` or ``crate``, an RO-Crate."""
        return _export(name, version, Path(target), format)

    @operation
    def add_version(
        self, name: str, archive: Path, *, trusted: bool = False
    ) -> Operation[dict[str, Any]]:
        """Add the version that a zip has; ``ml.registry.save`` makes the zip of an object."""
        return _add_version(name, archive, trusted)

    @operation
    def download(self, name: str, version: int | str, file: str, target: Path) -> Operation[Path]:
        """Write a file of a version to a path."""
        return _download(_version_path(name, version, "files", file), {}, target)

    @operation
    def list(self, search: str = "") -> Operation[Items]:
        """Return the models that you may see, by name."""
        return _list(search)


class Models(_Operations, Blocking):
    """The trained models of a server: ``client.models``."""


class AsyncModels(_Operations, Awaited):
    """The trained models of a server: await each method of ``client.models``."""


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _path(name: str, *more: str) -> str:
    own = "" if "/" in name else OWN
    return model_names.url_path(name, *more).replace("models/", f"models/{own}", 1)


def _version_path(name: str, version: int | str = "", *more: str) -> str:
    name, ref = model_names.split_reference(name, version or None)
    return _path(name, "versions", ref, *more)


def _list(search: str) -> Operation[Items]:
    found: Items = []
    params = {"search": search} if search else {}
    while True:
        page = raise_for_error((yield Request("GET", "models", params=params))).json()
        found += page["models"]
        if not page["next"]:
            return found
        params = {**params, "start": page["next"]}


def _send(method: str, path: str, body: Mapping[str, Any]) -> Operation[dict[str, Any]]:
    request = Request(method, path, headers=JSON, content=json.dumps(body).encode())
    return dict(raise_for_error((yield request)).json())


def _delete(path: str) -> Operation[None]:
    raise_for_error((yield Request("DELETE", path)))


def _compare(name: str, versions: Iterable[int | str]) -> Operation[dict[str, Any]]:
    params = {"versions": ",".join(map(str, versions))}
    response = yield Request("GET", _path(name, "compare"), params=params)
    return dict(raise_for_error(response).json())


def _export(name: str, version: int | str, target: Path, format: str) -> Operation[Path]:
    return (yield from _download(_version_path(name, version, "export"), {"as": format}, target))


def _download(path: str, params: Mapping[str, str], target: Path) -> Operation[Path]:
    request = Request("GET", path, TRANSFER_SECONDS, params=params, target=target)
    raise_for_error((yield request))
    return target


def _add_version(name: str, archive: Path, trusted: bool) -> Operation[dict[str, Any]]:
    request = Request(
        "POST",
        _path(name, "versions"),
        TRANSFER_SECONDS,
        dict(ZIP),
        {"trusted": "true"} if trusted else {},
        source=archive,
    )
    return dict(raise_for_error((yield request)).json())
