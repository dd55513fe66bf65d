"""A walk over all routes: every method and a WebSocket upgrade, by every kind of caller."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import httpx
from tornado.web import RequestHandler

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

REFUSED = (302, 401, 403, 404, 405)
"""What those may get who are not let in: the way to the login, or a refusal."""


@dataclass(frozen=True)
class Probe:
    """One method of a route: the callers it lets in, what they get, and what is sent.

    ``harms`` says that it changes something, so those who are let in do not try it here.
    """

    callers: Collection[str]
    status: int = 200
    send: dict[str, Any] = field(default_factory=dict)
    query: str = ""
    harms: bool = False


def methods(handler: type[RequestHandler]) -> set[str]:
    """Return the methods that a handler defines itself."""
    return {
        one
        for one in METHODS
        if getattr(handler, one.lower()) is not getattr(RequestHandler, one.lower())
    }


def example(pattern: str, examples: dict[str, str]) -> str:
    """Return a path that a route's pattern matches."""
    for expression, one in examples.items():
        pattern = pattern.replace(expression, one)
    pattern = pattern.replace("\\.", ".")
    assert re.fullmatch(r"[a-zA-Z0-9_./%-]*", pattern), f"no example for {pattern}"
    return pattern


def upgrade(client: httpx.Client, path: str) -> int:
    """Ask for a WebSocket with a client's headers and cookies; returns the status."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }
    # Only the head of the answer: a WebSocket has no end.
    with client.stream("GET", path, headers=headers) as answer:
        return answer.status_code
