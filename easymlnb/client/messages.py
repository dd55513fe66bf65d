"""Requests and answers as plain records: what to send, and what an answer means."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from easymlnb.client.encoding import FilePart
from easymlnb.contract.errors import (
    EasyMLNBError,
    Forbidden,
    NotLoggedIn,
    RouteNotFound,
    ServerUnreachable,
    TooLarge,
    from_code,
)

FormPart = tuple[str, tuple[str | None, bytes, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``path`` is below easymlnb's base, ``seconds`` how long an answer may take."""

    method: str
    path: str
    seconds: float = 30.0
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    content: bytes | None = None
    form: list[FormPart] | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One answer; the names of ``headers`` are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    def json(self) -> Any:
        """Return the body's JSON; raises ``ServerUnreachable`` when it is something else."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ServerUnreachable(
                "The server at this URL does not run easymlnb. Check the URL."
            ) from error


def call_body(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``Request`` needs to send a call's prepared values.

    JSON as long as no value is a file, else multipart with one part per value.
    """
    if not any(isinstance(value, FilePart) for value in values.values()):
        return {
            "content": json.dumps(values, allow_nan=False, separators=(",", ":")).encode(),
            "headers": {"Content-Type": "application/json"},
        }
    return {"form": [_part(name, value) for name, value in values.items()]}


def _part(name: str, value: Any) -> FormPart:
    if isinstance(value, FilePart):
        return name, (value.name, value.data, value.media_type)
    # Marked as JSON, a text that looks like a number stays a text.
    return name, (None, json.dumps(value, allow_nan=False).encode(), "application/json")


def checked(answer: Response) -> Response:
    """Return a good answer; raises the error that a bad one carries."""
    if 200 <= answer.status < 300:
        return answer
    raise error_of(answer)


def error_of(answer: Response) -> EasyMLNBError:
    """Return the error of an answer, also of one that a proxy or Jupyter itself made."""
    try:
        found = json.loads(answer.body)["error"]
        return from_code(
            str(found["code"]),
            str(found["message"]),
            found.get("details"),
            str(found.get("request_id") or answer.headers.get("x-request-id", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return _foreign(answer)


def _foreign(answer: Response) -> EasyMLNBError:
    status = answer.status
    if status in (301, 302, 303, 307, 308, 401):
        return NotLoggedIn()
    if status == 403:
        return Forbidden(
            "The server denied the request: the token is missing, invalid or has no permission "
            "for it."
        )
    if status == 404:
        return RouteNotFound(
            "The server does not run easymlnb at this URL. Check the URL, and run 'jupyter "
            "server extension list' on the server."
        )
    if status == 413:
        return TooLarge(
            "The request body exceeds the size limit of the server or of a proxy in front of it."
        )
    if status == 424:  # as a JupyterHub answers for a server that does not run
        return ServerUnreachable(
            "This server is not running according to the JupyterHub. Start it there."
        )
    if status in (502, 503, 504):
        return ServerUnreachable(
            f"A proxy responded with status {status} instead of the server, which may be "
            "starting. Try again in a moment."
        )
    return EasyMLNBError(f"The server responded with status {status} and no message.")
