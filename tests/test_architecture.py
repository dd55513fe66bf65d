"""The house rules: layers one way, no cycles, libraries in their places, light imports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# An area is a module or a folder; it imports only from itself and from lines above its own.
LAYERS = {
    "easymlnb": """
        _version
        contract
        discovery problems signature types
        hub
        addresses
        compiled batching thumbnail
        schema fitting
        joints
        codec show
        definition
        runtime client bundles
        upload own share
        publish forms live
        asking
        calling
        apps
        decorator
        pipelines optimizing
        cli
    """,
    "easymlnb_server": """
        access names account private supervisor terminals incomplete
        spelling
        calllog logfilter logs ownership spool words openapi_headers store placement
        apps uploads responses hubservice starts
        engine
        descriptions plots idempotency tagged
        openapi activity serving
        offered replacing
        publications
        services
        catalogue cluster hubs inbound metrics tracing storage
        state
        lifecycle revocation
        handlers
        routes
        app
        sharedapp
        __main__
        shared
    """,
}
FOLDERS = {"easymlnb": ROOT, "easymlnb_server": ROOT / "server-extension"}
ONLY_IN = {
    "ipywidgets": ("easymlnb.forms", "easymlnb.apps"),
    "jupyter_server": (
        "easymlnb_server.access",
        "easymlnb_server.handlers",
        "easymlnb_server.app",
        "easymlnb_server.activity",
        "easymlnb_server.hubservice.login",
        "easymlnb_server.sharedapp",
    ),
    "jupyterhub": ("easymlnb_server.hubservice.login",),
    "tornado": ("easymlnb_server.handlers",),
    "voila": ("easymlnb_server.apps.voila",),
    "comm": ("easymlnb.apps.place",),
    "opentelemetry": ("easymlnb_server.tracing",),
    "prometheus_client": ("easymlnb_server.metrics",),
    "sqlalchemy": ("easymlnb_server.store",),
    "typer": ("easymlnb.cli",),
    "httpx": (
        "easymlnb.apps",
        "easymlnb.client",
        "easymlnb.discovery",
        "easymlnb.hub",
        "easymlnb.upload",
        "easymlnb.cli",
        "easymlnb_server.hubservice",
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
    for module, targets in edges().items():
        for target in targets:
            (inside, mine), (other, theirs) = area(module), area(target)
            # The packages' own __init__ only names what is loaded later, on use.
            if inside == other == package and mine and theirs and mine != theirs:
                assert rank[theirs] < rank[mine], f"{module} must not import {target}"


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
            assert module.startswith(homes), f"{module} must not import {library}"


@pytest.mark.parametrize("start", ["easymlnb", "easymlnb.contract.frames"])
def test_import_stays_light(start: str) -> None:
    code = f"import sys, {start}; print(*set({HEAVY!r}) & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == ""


def test_files_stay_short() -> None:
    for module, (path, _) in modules().items():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST or module in LONG, path
