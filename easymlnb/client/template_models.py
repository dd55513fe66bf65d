"""``client.templates``: models without code, made from data. Both clients have the same methods."""

import json
import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from easymlnb.client import operations
from easymlnb.client.admin_method import Awaited, Blocking, Operations, operation
from easymlnb.client.messages import Operation, Request, raise_for_error
from easymlnb.client.uploads import send_parts
from easymlnb.contract import model_names

JSON = {"Content-Type": "application/json"}
START_SECONDS = 300.0
"""Seconds that a request may take whose template has to start first."""

OWN = "~/"


class _Operations(Operations):
    @operation
    def names(self) -> Operation[list[str]]:
        """Return the names of the templates."""
        return _names()

    @operation
    def look(
        self, /, data: Path | str, template: str = "tabular", **choices: Any
    ) -> Operation[dict[str, Any]]:
        """Describe a file: its columns, how it is read, and what could be predicted.

        Parameters
        ----------
        data : path
        template : {"tabular", "forecast", "images"}
        **choices
            As for ``create``. With ``target``, the result has ``findings``, which one should know
            before training.
        """
        return _look(Path(data), template, choices)

    @operation
    def create(
        self,
        /,
        name: str,
        data: Path | str | None = None,
        template: str = "tabular",
        **choices: Any,
    ) -> Operation[dict[str, Any]]:
        """Make a model from a file; ``result["training"]["id"]`` is the job that trains it.

        Parameters
        ----------
        name : str
        data : path, optional
            A CSV, JSON or Parquet file; a zip with a folder per class for ``images``.
        template : {"tabular", "forecast", "images"}
        **choices
            ``target``, ``algorithm``, ``question``, ``columns``, ``time``, ``groups``, ``horizon``,
            ``metric``, ``folds``, ``seed``, ``reading``.
        """
        path = Path(data) if data is not None else None
        return _create(name, path, template, choices)

    @operation
    def retrain(
        self, /, name: str, data: Path | str | None = None, **choices: Any
    ) -> Operation[dict[str, Any]]:
        """Train a model again, with other data or choices; it gets a new version."""
        return _retrain(name, Path(data) if data is not None else None, choices)

    @operation
    def predict(
        self, name: str, rows: Sequence[Mapping[str, Any]], version: int = 0
    ) -> Operation[dict[str, Any]]:
        """Predict rows with the version in production, or the latest one."""
        body = {"data": list(rows), "version": version}
        return _send("POST", f"{_path(name)}/predict", body)

    @operation
    def expose(self, name: str, exposed: bool = True) -> Operation[dict[str, Any]]:
        """Make a model a service of its name, or end that."""
        return _send("PATCH", _path(name), {"exposed": exposed})

    @operation
    def get(self, name: str) -> Operation[dict[str, Any]]:
        """Return how a model is made, and its latest training."""
        return operations.get(f"{_path(name)}/template")


class Templates(_Operations, Blocking):
    """Models without code: ``client.templates``."""


class AsyncTemplates(_Operations, Awaited):
    """Models without code: await each method of ``client.templates``."""


def _path(name: str) -> str:
    own = "" if "/" in name else OWN
    return model_names.url_path(name).replace("models/", f"models/{own}", 1)


def _names() -> Operation[list[str]]:
    found = yield from operations.get("templates", "templates")
    return [one["name"] for one in found]


def _send(method: str, path: str, body: Mapping[str, Any]) -> Operation[dict[str, Any]]:
    content = json.dumps(body).encode()
    request = Request(method, path, START_SECONDS, headers=JSON, content=content)
    return dict(raise_for_error((yield request)).json())


def _upload(path: Path, template: str) -> Operation[str]:
    """Send a file for a template; return the id of the upload."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    about = {"name": path.name, "media_type": kind, "size": path.stat().st_size}
    content = json.dumps(about).encode()
    params = {"template": template}
    request = Request("POST", "uploads", headers=JSON, params=params, content=content)
    upload = raise_for_error((yield request)).json()
    yield from send_parts(upload, path)
    return str(upload["id"])


def _look(path: Path, template: str, choices: Mapping[str, Any]) -> Operation[dict[str, Any]]:
    data = yield from _upload(path, template)
    body = {**choices, "template": template, "data": data}
    return (yield from _send("POST", "templates/look", body))


def _create(
    name: str, path: Path | None, template: str, choices: Mapping[str, Any]
) -> Operation[dict[str, Any]]:
    body: dict[str, Any] = {**choices, "name": name, "template": template}
    if path is not None:
        body["data"] = yield from _upload(path, template)
    return (yield from _send("POST", "models", body))


def _retrain(name: str, path: Path | None, choices: Mapping[str, Any]) -> Operation[dict[str, Any]]:
    body = dict(choices)
    known = yield from operations.get(f"{_path(name)}/template")
    if path is not None:
        body["data"] = yield from _upload(path, known["template"])
    if not body:
        body["seed"] = known["options"].get("seed", 0)
    return (yield from _send("PATCH", _path(name), body))
