"""The house rules: layers one way, no cycles, libraries in their places, light imports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# An area is a module or a folder; it imports only from itself and from lines above its own.
# On the server, handlers and the HTTP plumbing are one area wherever their modules are.
LAYERS = {
    "easymlnb": """
        _version
        contract
        types
        services
        client
        runtime
        compose
        calling
        publishing
        forms
        optimization apps
        cli
    """,
    "easymlnb_server": """
        incomplete supervisor spelling
        identity traffic
        store
        uploads
        dispatch
        placement cluster
        workers
        resources
        services openapi
        publishing observability apps hub
        calls
        context
        lifecycle
        http
        link
        app
        __main__
    """,
}
# Imports against that order that are still there. None may be added; one that is gone leaves here.
EXCEPTIONS = {
    ("easymlnb.services.decorator", "easymlnb.forms.form"),
    ("easymlnb.services.decorator", "easymlnb.forms.layout_capture"),
    ("easymlnb.services.decorator", "easymlnb.forms.local_caller"),
    ("easymlnb.services.decorator", "easymlnb.publishing.current_notebook"),
    ("easymlnb.services.decorator", "easymlnb.publishing.publish"),
    ("easymlnb.services.decorator", "easymlnb.publishing.sharing"),
    ("easymlnb.services.decorator", "easymlnb.runtime.live.session"),
    ("easymlnb.services.decorator", "easymlnb.runtime.notebook"),
    ("easymlnb_server.apps.visitors", "easymlnb_server.http.base"),
    ("easymlnb_server.hub.shared_app", "easymlnb_server.app"),
    ("easymlnb_server.hub.shared_service", "easymlnb_server.__main__"),
    ("easymlnb_server.identity.revocation", "easymlnb_server.apps.sessions"),
    ("easymlnb_server.identity.revocation", "easymlnb_server.context"),
    ("easymlnb_server.observability.tracing", "easymlnb_server.calls.log"),
    ("easymlnb_server.resources", "easymlnb_server.calls.log"),
    ("easymlnb_server.services.catalog", "easymlnb_server.calls.log"),
    ("easymlnb_server.services.page_context", "easymlnb_server.http.base"),
}
FOLDERS = {"easymlnb": ROOT, "easymlnb_server": ROOT / "server-extension"}
ONLY_IN = {
    "ipywidgets": ("easymlnb.forms", "easymlnb.apps"),
    "jupyter_server": (
        "easymlnb_server.identity.access",
        "easymlnb_server.http",
        "easymlnb_server.app",
        "easymlnb_server.observability.activity",
        "easymlnb_server.hub.identity_provider",
        "easymlnb_server.hub.shared_app",
    ),
    "jupyterhub": ("easymlnb_server.hub.identity_provider",),
    "tornado": (
        "easymlnb_server.http",
        "easymlnb_server.apps.visitors",
        "easymlnb_server.calls.options",
        "easymlnb_server.calls.responses",
        "easymlnb_server.calls.stream_buffer",
        "easymlnb_server.calls.queue_events",
    ),
    "voila": ("easymlnb_server.apps.voila",),
    "comm": ("easymlnb.apps.session",),
    "opentelemetry": ("easymlnb_server.observability.tracing",),
    "prometheus_client": ("easymlnb_server.observability.metrics",),
    "sqlalchemy": ("easymlnb_server.store",),
    "typer": ("easymlnb.cli",),
    "httpx": (
        "easymlnb.apps",
        "easymlnb.client",
        "easymlnb.client.discovery",
        "easymlnb.client.hub",
        "easymlnb.publishing.bundle_upload",
        "easymlnb.cli",
        "easymlnb_server.hub",
        "easymlnb_server.placement.hub",
    ),
    "easymlnb_server": ("easymlnb_server",),
}
HEAVY = ("torch", "pandas", "numpy", "sklearn", "plotly", "ipywidgets", "PIL", "tornado")
LONGEST = 400
LONG = ("easymlnb.contract.errors",)
"""One table, to be read as a whole."""


def imported(path: Path, package: str) -> Iterator[str]:
    """Yield what the file imports, as dotted names with relative ones resolved."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def modules() -> dict[str, tuple[Path, str]]:
    """Return module -> (file, package it resolves relative names in)."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in (folder / package).rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            parent = ".".join(parts[:-1])
            found[parent if parts[-1] == "__init__" else ".".join(parts)] = (path, parent)
    return found


def home(name: str) -> str | None:
    """Return the module that an imported name is or lives in, if it is one of ours."""
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return name or None


@cache
def edges() -> dict[str, frozenset[str]]:
    """Return module -> the modules of ours that it imports."""
    return {
        module: frozenset(
            target
            for name in imported(path, package)
            if (target := home(name)) is not None and target != module
        )
        for module, (path, package) in modules().items()
    }


def area(module: str) -> tuple[str, str]:
    package, _, rest = module.partition(".")
    if package == "easymlnb_server" and rest.endswith("handlers"):
        return package, "http"
    return package, rest.partition(".")[0]


def ranks(package: str) -> dict[str, int]:
    lines = LAYERS[package].strip().splitlines()
    return {name: rank for rank, line in enumerate(lines) for name in line.split()}


@pytest.mark.parametrize("package", LAYERS)
def test_every_area_has_a_layer(package: str) -> None:
    areas = {area(module)[1] for module in modules() if area(module)[0] == package} - {""}
    assert areas == set(ranks(package))


@pytest.mark.parametrize("package", LAYERS)
def test_imports_flow_one_way(package: str) -> None:
    rank = ranks(package)
    wrong = set()
    for module, targets in edges().items():
        for target in targets:
            (inside, mine), (other, theirs) = area(module), area(target)
            # The packages' own __init__ only names what is loaded later, on use.
            ours = inside == other == package and mine and theirs and mine != theirs
            if ours and rank[theirs] >= rank[mine]:
                wrong.add((module, target))
    assert wrong == {pair for pair in EXCEPTIONS if area(pair[0])[0] == package}


def test_no_cycles() -> None:
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module not in done:
            for target in edges()[module]:
                visit(target, (*way, module))
            done.add(module)

    for module in edges():
        if module not in LAYERS:
            visit(module, ())


def test_server_sees_only_the_contract() -> None:
    for module, targets in edges().items():
        if area(module)[0] == "easymlnb_server":
            for target in targets:
                package, part = area(target)
                assert package == "easymlnb_server" or part in ("", "contract"), (
                    f"{module} must not import {target}"
                )


@pytest.mark.parametrize(("library", "homes"), ONLY_IN.items())
def test_library_stays_in_its_place(library: str, homes: tuple[str, ...]) -> None:
    for module, (path, package) in modules().items():
        if any(name.split(".")[0] == library for name in imported(path, package)):
            place = ".".join(area(module))
            assert module.startswith(homes) or place in homes, f"{module} imports {library}"


@pytest.mark.parametrize("start", ["easymlnb", "easymlnb.contract.worker_protocol"])
def test_import_stays_light(start: str) -> None:
    code = f"import sys, {start}; print(*set({HEAVY!r}) & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == ""


def test_files_stay_short() -> None:
    for module, (path, _) in modules().items():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST or module in LONG, path
