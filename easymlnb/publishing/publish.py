"""``f.publish()``: publish the saved notebook that contains ``f`` as a new version."""

import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easymlnb.client import Client, hub
from easymlnb.client.discovery import Server
from easymlnb.compose.steps import PIECES
from easymlnb.contract.environment_lock import LOCKED
from easymlnb.contract.errors import EasyMLNBError, ServiceNotFound
from easymlnb.contract.options import named_options
from easymlnb.contract.replacing import AUTO, check
from easymlnb.publishing import addresses, checking
from easymlnb.publishing.bundle import BuiltBundle, build_bundle
from easymlnb.publishing.bundle.static_analysis import expand_magics
from easymlnb.publishing.bundle_upload import describe_failure, describe_traffic, upload_bundle
from easymlnb.publishing.current_notebook import notebook_candidates
from easymlnb.runtime.environment import in_worker
from easymlnb.services.definition import SERVICES

log = logging.getLogger("easymlnb")


@dataclass(frozen=True, slots=True, repr=False)
class Published:
    """A published service.

    version: ``None`` while it is starting.
    url: the REST address; ``app`` and ``page`` are for a browser.
    public: the address for visitors without a login; empty if the service is not public.
    unchanged: whether this content was already published.
    note: why the version gets no traffic, if it gets none.
    """

    service: str
    version: int | None
    url: str
    unchanged: bool = False
    app: str = ""
    page: str = ""
    public: str = ""
    note: str = ""

    def __repr__(self) -> str:
        if self.version is None:
            head = f"{self.service} is starting. When ready, the service is available here:"
        else:
            same = " (unchanged)" if self.unchanged else ""
            head = f"{self.service} version {self.version} is published{same}."
        found = addresses.Addresses(self.app, self.page, self.url, self.public)
        return "\n".join([head, *([self.note] if self.note else []), *found.lines()])


@named_options
def publish(
    service: str,
    *,
    notebook: str | Path | None = None,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    requirements: Iterable[str] | str | Path | None = None,
    url: str | None = None,
    token: str | None = None,
    personal: bool = False,
    environment: str | None = None,
    replace: str = AUTO,
    stage: bool = False,
    force: bool = False,
    owner: str = "",
    gate: bool = False,
    wait: bool = True,
    timeout: float = 600.0,
) -> Published | None:
    """Publish the saved notebook as a new version of ``service``, and wait until it is ready.

    The parameters are those of ``ServiceFunction.publish``. Interrupting the cell cancels
    publishing; the previous version stays online. In a worker it does nothing and returns ``None``.

    Raises ``EasyMLNBError`` if the notebook is not saved, ``Forbidden`` if the shared service
    rejects this server's token, and what ``build_bundle`` and ``upload_bundle`` raise.
    """
    if in_worker():
        log.info("publish() of %s has no effect in a worker.", service)
        return None
    if service not in SERVICES:
        raise ServiceNotFound(service)
    check(replace)
    path = find_notebook(SERVICES[service].function, service, notebook)
    server = hub.publish_target(url, token, personal=personal)
    if environment is None and SERVICES[service].spec.environment == LOCKED:
        environment = LOCKED  # also where the decorator has no literal
    bundle = build_bundle(
        path,
        include=include,
        exclude=exclude,
        requirements=requirements,
        environment=environment,
    )
    options: dict[str, Any] = {"replace": replace, "stage": stage, "force": force, "owner": owner}
    if gate:
        options["gate"] = checking.pass_gate(path, bundle)
    return _upload(service, server, bundle, {**options, "wait": wait, "timeout": timeout})


@named_options
def check_notebook(
    service: str,
    *,
    notebook: str | Path | None = None,
    advisories: str | Path | None = None,
    severity: Mapping[str, str] | None = None,
) -> checking.NotebookReport:
    """Check the saved notebook that contains ``service``.

    The parameters are those of ``ServiceFunction.check``.
    """
    if service not in SERVICES:
        raise ServiceNotFound(service)
    path = find_notebook(SERVICES[service].function, service, notebook)
    return checking.check(path, advisories, severity)


def _upload(
    service: str, server: Server, bundle: BuiltBundle, options: dict[str, Any]
) -> Published:
    _print(*bundle.summary())
    try:
        status = upload_bundle(server, bundle.data, names=[service], on_text=_print, **options)
    except EasyMLNBError as error:
        _print(*describe_failure(error.details, hub.public_url(server)))
        raise
    return _published(service, server, status)


def _published(service: str, server: Server, status: dict[str, Any]) -> Published:
    served: dict[str, Any] = next((s for s in status["services"] if s["name"] == service), {})
    full = str(served.get("full_name") or service)
    if server.shared and not served:
        with Client(server) as client:
            full = client.admin.full_name(service)
    found = addresses.for_service(server, full, public=bool(served.get("public")))
    unchanged = bool(status.get("unchanged"))
    return Published(
        full,
        served.get("version"),
        found.rest,
        unchanged,
        app=found.app,
        page=found.page,
        public=found.public,
        note=describe_traffic(served, unchanged=unchanged) if served else "",
    )


def find_notebook(function: Callable[..., Any], name: str, given: str | Path | None) -> Path:
    """Return the saved notebook that contains ``function`` as this kernel has run it.

    For a pipeline, the notebook must contain its steps. Raises ``EasyMLNBError`` if the author has
    to save the notebook, or to pass its path.
    """
    sources = list(_sources(function))
    likely = [Path(given)] if given is not None else list(notebook_candidates())
    existing = [path for path in likely if path.is_file()]
    for path in existing:
        if _contains_all(path, sources):
            return path
    if given is not None and not existing:
        return Path(given)  # ``build_bundle`` raises the error
    if given is None and sources:
        # The notebook was renamed after its kernel had started.
        others = [
            path for path in sorted(Path.cwd().glob("*.ipynb")) if _contains_all(path, sources)
        ]
        if len(others) == 1:
            return others[0]
    if existing:
        raise EasyMLNBError(
            f"Save the notebook first: {name!r} in {existing[0].name!r} on disk differs from "
            f"{name!r} in this kernel. If you changed the cell, run it, save the notebook, then "
            "publish."
        )
    raise EasyMLNBError(
        "The notebook to publish is unknown. Pass its path: publish(notebook='path.ipynb')."
    )


def contains(path: Path, source: str) -> bool:
    """Return whether a code cell of the notebook at ``path`` contains ``source``."""
    wanted = _normalized(source)
    return any(wanted in _normalized(cell) or wanted in _as_run(cell) for cell in _cells(path))


def _contains_all(path: Path, sources: list[str]) -> bool:
    return all(contains(path, source) for source in sources)


def _sources(function: Callable[..., Any]) -> Iterator[str]:
    """Yield the sources that the notebook must contain: the function's, or those of its steps."""
    source = _source(function)
    if source is not None:
        yield source
    for piece in getattr(function, PIECES, ()):
        yield from _sources(piece)


def _source(function: Callable[..., Any]) -> str | None:
    """Return the function's source; ``None`` if it is not from a cell or is unknown."""
    bare = inspect.unwrap(function)
    code = getattr(bare, "__code__", None)
    if code is None or os.path.isfile(code.co_filename):
        return None  # from a module, not from a cell
    try:
        return inspect.getsource(bare)
    except (OSError, TypeError):
        return None


def _cells(path: Path) -> Iterator[str]:
    try:
        cells = json.loads(path.read_bytes())["cells"]
        for cell in cells:
            if cell["cell_type"] == "code":
                yield "".join(cell["source"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # not a notebook; ``build_bundle`` raises the error


def _as_run(cell: str) -> str:
    if "IPython" not in sys.modules:
        return ""
    try:
        return _normalized(expand_magics(cell))
    except SyntaxError:
        return ""


def _normalized(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip("\n").splitlines())


def _print(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
