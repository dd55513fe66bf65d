"""Sending a bundle to a server and following it until it serves, from kernel or command line."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpx

from easymlnb.client import discovery, transport
from easymlnb.client.messages import Response, checked
from easymlnb.contract.errors import (
    Draining,
    EasyMLNBError,
    NotReady,
    RouteNotFound,
    ServerUnreachable,
    StorageBusy,
    from_code,
)
from easymlnb.contract.replacing import AUTO, check

UPLOAD_SECONDS = 300.0
ANSWER_SECONDS = 30.0

AWAY_SECONDS = 60.0
"""How long a server may be away while it is followed; what it accepted outlives its restart."""

DETAILS = ("cell", "line", "source", "example", "traceback")
"""What a failed bundle's error may say of where it failed."""

_AWAY = (ServerUnreachable, Draining, NotReady, StorageBusy)


def send(
    data: bytes,
    *,
    names: Iterable[str] = (),
    replace: str = AUTO,
    url: str | None = None,
    token: str | None = None,
    wait: bool = True,
    timeout: float = 600.0,
    on: Callable[[str], None] = lambda state: None,
) -> dict[str, Any]:
    """Publish a bundle and return its status, as ``GET bundles/{id}`` answers it.

    names: publish only these of its services.
    replace: what becomes of the former version meanwhile, one of ``contract.replacing.CHOICES``.
    url, token: the server, as for ``discovery.find``.
    wait: return only when it serves, else as soon as the server has accepted it.
    timeout: seconds to wait for that.
    on: told each state once, ``"starting"``, then ``"ready"`` or ``"failed"``, and between them, in
        sentences, what the start waits for.

    Whoever interrupts the wait calls the start off: the ``KeyboardInterrupt`` is raised once the
    server has done so; a second one leaves at once.
    Raises ``BundleRejected`` or ``TooLarge`` when the server does not take it, ``DeploymentFailed``
    with the cell in ``details`` when it does not start, ``NotReady`` when that takes too long, and
    what ``discovery.find`` raises.
    """
    server = discovery.find(url, token)
    how = [("replace", check(replace))] if replace != AUTO else []
    bundle = ""
    with httpx.Client(**transport.settings(server)) as http:
        try:
            status = _post(http, server, data, [*(("name", name) for name in names), *how])
            bundle = status["bundle"]
            on(status["state"])
            if wait and status["state"] == "starting":
                status = _follow(http, server, bundle, timeout, on)
                on(status["state"])
        except KeyboardInterrupt:
            if bundle and wait:
                on("Canceling ...")
                on(_call_off(http, server, bundle))
            raise
    if status["state"] == "failed":
        raise failure(status.get("error") or {}, str(status.get("notebook") or ""))
    return status


def _post(
    http: httpx.Client, server: discovery.Server, data: bytes, params: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Send a bundle and return its first status."""
    with transport.translated(server, UPLOAD_SECONDS):
        response = http.post(
            "services",
            params=tuple(params),
            content=data,
            headers={"Content-Type": "application/zip"},
            timeout=httpx.Timeout(UPLOAD_SECONDS, connect=transport.CONNECT_SECONDS),
        )
    return _json(response)


def _follow(
    http: httpx.Client,
    server: discovery.Server,
    bundle: str,
    timeout: float,
    on: Callable[[str], None],
) -> dict[str, Any]:
    """Return the bundle's status once it is no longer starting."""
    now = time.monotonic()
    until, seen, pause = now + timeout, now, 0.1
    told = ""
    while True:
        time.sleep(pause)
        pause = min(pause * 1.5, 2.0)
        now = time.monotonic()
        try:
            with transport.translated(server, ANSWER_SECONDS):
                status = _json(http.get(f"bundles/{bundle}", timeout=ANSWER_SECONDS))
        except (*_AWAY, RouteNotFound) as error:
            # Without a request's id it is not the server that knows no such route, but a proxy that
            # has none to the server: it was there before.
            known = isinstance(error, RouteNotFound) and error.request_id
            if known or now - seen > AWAY_SECONDS or now > until:
                raise
            continue
        seen = now
        if status["state"] != "starting":
            return status
        if (reason := str(status.get("reason", ""))) != told:
            told = reason
            if told:
                # A node that is waited for may be hours away, and is told of as long as it is.
                on(told)
                until = now + timeout
        if now > until:
            raise NotReady(
                f"The notebook is still starting after {timeout:g} s. The server continues: "
                f"'GET bundles/{bundle}' returns the outcome, DELETE cancels publishing."
            )


def _call_off(http: httpx.Client, server: discovery.Server, bundle: str) -> str:
    """End a start; returns in a sentence what came of it."""
    try:
        with transport.translated(server, ANSWER_SECONDS):
            response = http.delete(f"bundles/{bundle}", timeout=ANSWER_SECONDS)
        checked(transport.answer(response, response.content))
    except EasyMLNBError as error:
        return f"Publishing was not canceled: {error.message}"
    return "Publishing was canceled. The previous version stays online."


def _json(response: httpx.Response) -> dict[str, Any]:
    answer: Response = checked(transport.answer(response, response.content))
    found = answer.json()
    if not isinstance(found, dict) or "state" not in found or "bundle" not in found:
        raise ServerUnreachable("The server at this URL does not run easymlnb. Check the URL.")
    return found


def failure(error: dict[str, Any], notebook: str = "") -> EasyMLNBError:
    """Return the error of a bundle that failed.

    ``details`` are cell, line, source, traceback, the example, and ``notebook``: the path of the
    executed notebook, relative to the server's address.
    """
    details = {name: error[name] for name in DETAILS if name in error}
    if notebook:
        details["notebook"] = notebook
    message = error.get("message") or "The notebook failed to start."
    return from_code(error.get("code") or "deployment_failed", message, details or None)
