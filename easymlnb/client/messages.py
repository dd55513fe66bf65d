"""Requests and responses as records: what to send, and what a response means."""

import json
import secrets
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

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
    """One request; ``path`` is below easymlnb's base, ``seconds`` the time for the response.

    ``source`` is a file with the content, which is read in parts. ``target`` is a file that gets
    the body of a good response, which is then empty.
    """

    method: str
    path: str
    seconds: float = 30.0
    headers: dict[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] | tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    form: list[FormPart] | None = None
    source: Path | None = None
    target: Path | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One response; the names of ``headers`` are lowercase."""

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


T = TypeVar("T")
Operation = Generator[Request, Response, T]
"""A conversation with the server without I/O: yields requests, receives their responses."""


def call_body(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``Request`` needs to send a call's encoded arguments.

    JSON if no value is a file, else multipart with one part per value.
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


def encode_form(form: Iterable[FormPart]) -> tuple[str, bytes]:
    """Return the content type and the body of a form, where no HTTP library encodes it."""
    boundary = secrets.token_hex(16)
    pieces: list[bytes] = []
    for name, (filename, data, media_type) in form:
        file = "" if filename is None else f'; filename="{_quoted(filename)}"'
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"{file}\r\n'
            f"Content-Type: {media_type}\r\n\r\n"
        )
        pieces += (head.encode(), data, b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(pieces)


def _quoted(text: str) -> str:
    return text.translate({34: "%22", 13: "%0D", 10: "%0A"})


def raise_for_error(response: Response) -> Response:
    """Return a good response; raises the error of any other."""
    if 200 <= response.status < 300:
        return response
    raise error_of(response)


def error_of(response: Response) -> EasyMLNBError:
    """Return the error of a response, also of one from a proxy or from Jupyter itself."""
    try:
        found = json.loads(response.body)["error"]
        return from_code(
            str(found["code"]),
            str(found["message"]),
            found.get("details"),
            str(found.get("request_id") or response.headers.get("x-request-id", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return _foreign(response.status)


def _foreign(status: int) -> EasyMLNBError:
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
