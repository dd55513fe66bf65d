"""Upload a bundle to a server and wait until it is ready, from a kernel or the command line."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from textwrap import indent
from typing import Any

from easymlnb.client import Client
from easymlnb.client.discovery import Server
from easymlnb.client.patience import AWAY, PATIENCE
from easymlnb.contract import quality
from easymlnb.contract.errors import (
    EasyMLNBError,
    NotReady,
    RouteNotFound,
    StorageBusy,
    from_code,
)
from easymlnb.contract.replacing import AUTO

DETAILS = ("cell", "line", "source", "example", "traceback", "quality")
"""What the error of a failed bundle may contain about the cell that failed."""

_AWAY = (*AWAY, StorageBusy)
"""Errors of a server that may be back soon; accepted bundles survive its restart."""

MOST_DIFFERENCES = 5
"""Differences of two versions that a message lists."""

SOURCE_LINES = 30
"""Lines of a failed cell that are shown: its last ones, where most cells fail."""

STATES = {
    "starting": "A worker runs the notebook and its examples ...",
    "ready": "Published.",
    "failed": "Publishing failed. The previous version, if any, stays online.",
}

OnText = Callable[[str], None]


def upload_bundle(
    server: Server,
    data: bytes,
    *,
    names: Iterable[str] = (),
    replace: str = AUTO,
    stage: bool = False,
    force: bool = False,
    owner: str = "",
    gate: Mapping[str, str] | None = None,
    wait: bool = True,
    timeout: float = 600.0,
    on_text: OnText = lambda text: None,
) -> dict[str, Any]:
    """Publish a bundle and return its status, as from ``GET bundles/{id}``.

    names: publish only these of its services.
    replace: how the previous version is replaced, one of ``contract.replacing.CHOICES``.
    stage: give the new version no traffic.
    force: give it traffic although it would break callers.
    owner: a group, or a user whose services you maintain, on a shared service.
    gate: ask for the quality gate, with severities by check or rule.
    wait: return only when the bundle is ready, else as soon as the server has accepted it.
    timeout: seconds to wait for that.
    on_text: called with a sentence for each state, and with what the start is waiting for.

    An interrupt cancels publishing: the ``KeyboardInterrupt`` is raised after the server has
    responded; a second one ends at once.
    Raises ``BundleRejected``, ``TooLarge`` or ``QualityGateFailed`` if the server rejects the
    bundle, ``DeploymentFailed`` with the cell in ``details`` if it does not start, and ``NotReady``
    after ``timeout``.
    """
    with Client(server) as client:
        bundle = ""
        try:
            status = client.admin.upload_bundle(
                data,
                names=names,
                replace=replace,
                stage=stage,
                force=force,
                owner=owner,
                gate=gate,
            )
            bundle = status["bundle"]
            on_text(STATES.get(status["state"], status["state"]))
            if wait and status["state"] == "starting":
                status = _wait_until_ready(client, bundle, timeout, on_text)
                on_text(STATES.get(status["state"], status["state"]))
        except KeyboardInterrupt:
            if bundle and wait:
                on_text("Canceling ...")
                on_text(_cancel(client, bundle))
            raise
    if status["state"] == "failed":
        raise failure(status.get("error") or {}, str(status.get("notebook") or ""))
    return status


def describe_traffic(service: dict[str, Any], *, unchanged: bool = False) -> str:
    """Return what an author should know about the traffic of a new version, and do; or nothing."""
    name, version, breaks = service["name"], service.get("version"), service.get("breaks") or []
    listed = "; ".join(breaks[:MOST_DIFFERENCES])
    if not service.get("weight", 100):
        if not breaks:
            return (
                f"{name} version {version} gets no traffic yet. To move the calls to it, run: "
                f"easymlnb promote {name} {version}"
            )
        return (
            f"{name} version {version} gets no traffic, because it would break callers of the "
            f"present version ({listed}). To replace that anyway, run: "
            f"easymlnb traffic {name} {version}=100 --force"
        )
    if unchanged or not breaks:
        return ""
    return (
        f"{name} version {version} breaks callers of the previous version ({listed}). To go back, "
        f"run: easymlnb rollback {name}"
    )


def _wait_until_ready(
    client: Client, bundle: str, timeout: float, on_text: OnText
) -> dict[str, Any]:
    """Return the bundle's status once it is no longer starting."""
    now = time.monotonic()
    until, seen, pause = now + timeout, now, 0.1
    shown = ""
    while True:
        time.sleep(pause)
        pause = min(pause * 1.5, 2.0)
        now = time.monotonic()
        try:
            status = client.admin.bundle(bundle)
        except (*_AWAY, RouteNotFound) as error:
            # Without a request ID this is not the server's response but that of a proxy which
            # does not reach the server now.
            known = isinstance(error, RouteNotFound) and error.request_id
            if known or now - seen > PATIENCE or now > until:
                raise
            continue
        seen = now
        if status["state"] != "starting":
            return status
        if (reason := str(status.get("reason", ""))) != shown:
            shown = reason
            if shown:
                # A node may become free only after hours; the server reports that as a reason.
                on_text(shown)
                until = now + timeout
        if now > until:
            raise NotReady(
                f"The notebook is still starting after {timeout:g} s. The server continues: "
                f"'GET bundles/{bundle}' returns the outcome, DELETE cancels publishing."
            )


def _cancel(client: Client, bundle: str) -> str:
    """Cancel a start, and return a sentence about the outcome."""
    try:
        client.admin.cancel_bundle(bundle)
    except EasyMLNBError as error:
        return f"Publishing was not canceled: {error.message}"
    return "Publishing was canceled. The previous version, if any, stays online."


def failure(error: dict[str, Any], notebook: str = "") -> EasyMLNBError:
    """Return the error of a failed bundle.

    ``details`` are cell, line, source, traceback, the example, and ``notebook``: the path of the
    executed notebook, relative to the server's address.
    """
    details = {name: error[name] for name in DETAILS if name in error}
    if notebook:
        details["notebook"] = notebook
    message = error.get("message") or "The notebook failed to start."
    return from_code(error.get("code") or "deployment_failed", message, details or None)


def describe_failure(details: Any, base: str) -> Iterator[str]:
    """Yield what the author needs to see of a failure: cell, line, traceback and notebook.

    details: those of the error; ``base`` is the server's URL for a browser.
    """
    if not isinstance(details, dict):
        return
    if "quality" in details:
        yield from quality.convert(details["quality"]).lines()
    if "cell" in details:
        line = f" at line {details['line']}" if "line" in details else ""
        yield f"Cell {details['cell'] + 1} failed{line}:"  # people count from 1
    source = str(details.get("source") or "").strip("\n").splitlines()
    if len(source) > SOURCE_LINES:
        yield f"    ... ({len(source) - SOURCE_LINES} lines)"
    for text in ("\n".join(source[-SOURCE_LINES:]), str(details.get("traceback") or "").rstrip()):
        if text:
            yield indent(text, "    ")
    if details.get("example") and "cell" in details:
        yield f"The example: {details['example']}"
    if details.get("notebook"):
        yield f"Executed notebook: {base}{details['notebook']}"
