"""``f.publish()``: the notebook that holds ``f``, as it lies on disk, becomes a new version."""

import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

from easymlnb.client import Client, hub
from easymlnb.client.discovery import Server
from easymlnb.compose.steps import PIECES
from easymlnb.contract.errors import EasyMLNBError, ServiceNotFound
from easymlnb.contract.options import named_options
from easymlnb.contract.replacing import AUTO, check
from easymlnb.publishing import addresses
from easymlnb.publishing.bundle import make
from easymlnb.publishing.bundle.static_analysis import plain
from easymlnb.publishing.bundle_upload import send
from easymlnb.publishing.current_notebook import candidates
from easymlnb.services.definition import SERVICES

log = logging.getLogger("easymlnb")


@dataclass(frozen=True, slots=True, repr=False)
class Published:
    """What came of publishing. ``version`` is ``None`` as long as it is starting.

    ``url`` is the REST address, ``app`` and ``page`` are for a browser. ``public`` is the address
    for visitors without a login; empty when the service is not public.
    ``unchanged`` says that this very content was published already.
    """

    service: str
    version: int | None
    url: str
    unchanged: bool = False
    app: str = ""
    page: str = ""
    public: str = ""

    def __repr__(self) -> str:
        if self.version is None:
            head = f"{self.service} is starting. When ready, the service is available here:"
        else:
            same = " (unchanged)" if self.unchanged else ""
            head = f"{self.service} version {self.version} is published{same}."
        found = addresses.Addresses(self.app, self.page, self.url, self.public)
        return "\n".join([head, *found.lines()])


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
    here: bool = False,
    replace: str = AUTO,
    wait: bool = True,
    timeout: float = 600.0,
) -> Published | None:
    """Freeze the saved notebook as a new version of ``service`` and wait until it serves.

    notebook: its path; default: the notebook of this kernel.
    include, exclude, requirements: see ``easymlnb.publishing.bundle.build``.
    url, token: the server; default: the Hub's shared service if there is one
        (``easymlnb.client.hub``), else see ``easymlnb.client.discovery.find``.
    here: ``True`` publishes on one's own server although the Hub has a shared service.
    replace: what becomes of the former version while this one starts. ``"auto"`` keeps it serving,
        unless its own workers have the only room there is: then they end and calls wait.
        ``"in_place"`` ends them in any case, ``"wait"`` waits for other room. If this one fails,
        the former one starts again.
    wait: ``False`` returns as soon as the server has accepted it.
    timeout: seconds to wait for it to serve, default 600.

    Interrupting the cell cancels publishing; the previous version stays online.
    In a worker, which runs the same cells, it does nothing and returns ``None``.
    Raises ``EasyMLNBError`` when the notebook is not saved, ``Forbidden`` when the shared service
    refuses this server's token, ``BadRequest`` for another ``replace``, and what ``make`` and
    ``send`` raise.
    """
    if "EASYMLNB_WORKER" in os.environ:
        log.info("publish() of %s has no effect in a worker.", service)
        return None
    if service not in SERVICES:
        raise ServiceNotFound(service)
    check(replace)
    path = find_notebook(SERVICES[service].function, service, notebook)
    server = hub.server(url, token, here=here)
    made = make(path, include=include, exclude=exclude, requirements=requirements)
    _say(_summary(path.name, sorted(made.manifest.files), len(made.data)), *made.notes)
    try:
        status = send(
            made.data,
            names=[service],
            replace=replace,
            url=server.url,
            token=server.token,
            wait=wait,
            timeout=timeout,
            on=lambda state: _say(_STATES.get(state, state)),
        )
    except EasyMLNBError as error:
        _say(*_where(error.details, hub.address(server)))
        raise
    return _published(service, server, status)


def _published(service: str, server: Server, status: dict[str, Any]) -> Published:
    full = service
    if server.shared:
        with Client(server) as client:
            full = client.full_name(service)
    served: dict[str, Any] = next(
        (s for s in status["services"] if s["name"] in (service, full)), {}
    )
    found = addresses.of(server, full, public=bool(served.get("public")))
    return Published(
        full,
        served.get("version"),
        found.rest,
        bool(status.get("unchanged")),
        app=found.app,
        page=found.page,
        public=found.public,
    )


_STATES = {
    "starting": "A worker runs the notebook and its examples ...",
    "ready": "Published.",
    "failed": "Publishing failed. The previous version stays online.",
}


def find_notebook(function: Callable[..., Any], name: str, given: str | Path | None) -> Path:
    """Return the saved notebook that holds ``function`` exactly as this kernel knows it.

    Of one that was made of others (``ml.pipeline``), it must hold those.

    Raises ``EasyMLNBError`` when it has to be saved or named first.
    """
    sources = list(_sources(function))
    likely = [Path(given)] if given is not None else list(candidates())
    there = [path for path in likely if path.is_file()]
    for path in there:
        if _holds_all(path, sources):
            return path
    if given is not None and not there:
        return Path(given)  # ``make`` says what is wrong with it
    if given is None and sources:
        # The notebook was renamed after its kernel had started.
        others = [path for path in sorted(Path.cwd().glob("*.ipynb")) if _holds_all(path, sources)]
        if len(others) == 1:
            return others[0]
    if there:
        raise EasyMLNBError(
            f"Save the notebook first: {name!r} in {there[0].name!r} on disk differs from "
            f"{name!r} in this kernel. If you changed the cell, run it, save the notebook, then "
            "publish."
        )
    raise EasyMLNBError(
        "The notebook to publish is unknown. Pass its path: publish(notebook='path.ipynb')."
    )


def holds(path: Path, source: str) -> bool:
    """Say whether a code cell of the notebook at ``path`` contains ``source``."""
    wanted = _tidy(source)
    return any(wanted in _tidy(cell) or wanted in _as_run(cell) for cell in _cells(path))


def _holds_all(path: Path, sources: list[str]) -> bool:
    return all(holds(path, source) for source in sources)


def _sources(function: Callable[..., Any]) -> Iterator[str]:
    """Yield what the notebook must hold: the function's source, or those it was made of."""
    source = _source(function)
    if source is not None:
        yield source
    for piece in getattr(function, PIECES, ()):
        yield from _sources(piece)


def _source(function: Callable[..., Any]) -> str | None:
    """Return the function's source; ``None`` when it is not from a cell or is not known."""
    bare = inspect.unwrap(function)
    code = getattr(bare, "__code__", None)
    if code is None or os.path.isfile(code.co_filename):
        return None  # a module's: the file on disk is what counts, not a cell
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
        return  # not a notebook; if it was named, ``make`` says so


def _as_run(cell: str) -> str:
    if "IPython" not in sys.modules:
        return ""
    try:
        return _tidy(plain(cell))
    except SyntaxError:
        return ""


def _tidy(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip("\n").splitlines())


def _summary(notebook: str, files: list[str], size: int) -> str:
    shown = ", ".join(files[:10]) + (f" and {len(files) - 10} more" if len(files) > 10 else "")
    return f"Publishing {notebook} ({size / 1000:.0f} kB) with {shown or 'no other files'}."


def _where(details: Any, base: str) -> Iterator[str]:
    """Yield what the author needs to see of a failure: cell, line, traceback and notebook."""
    if not isinstance(details, dict):
        return
    if "cell" in details:
        line = f" at line {details['line']}" if "line" in details else ""
        yield f"Cell {details['cell'] + 1} failed{line}:"  # people count from 1
    for name in ("source", "traceback"):
        if details.get(name):
            yield indent(str(details[name]).rstrip(), "    ")
    if details.get("example") and "cell" in details:
        yield f"The example: {details['example']}"
    if details.get("notebook"):
        yield f"Executed notebook: {base}{details['notebook']}"


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
