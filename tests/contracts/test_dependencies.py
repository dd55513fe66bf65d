"""What the packages import is declared, and what the scripts install is pinned."""

import ast
import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import distributions, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
KERNEL = ROOT / "easymlnb"
SERVER = ROOT / "server-extension"
OWN = {"easymlnb", "easymlnb_server"}
OPTIONAL = {"joblib", "matplotlib", "mlflow", "onnxruntime", "optuna", "tqdm"}
"""Used only where an author has installed them, or a model has their format."""

BETTER_WITH = {"numpy"}
"""Used by the server if they are there: comparisons then measure how far images are apart."""

WHERE_USED = {"arrow", "data", "deepaas", "gate", "torch", "train"}
"""Extras whose packages the kernel side may import inside a function."""

LAZY = (KERNEL / "training", KERNEL / "compat")
"""Imported by functions or authors only, so that their modules may import the packages of
``WHERE_USED``."""

OF_SERVER = {"server", "grpc", "hub", "kafka", "mqtt", "otel", "postgres", "storage"}


@cache
def imported(source: Path, *, at_start: bool) -> frozenset[str]:
    """Return the top-level modules that a package imports, apart from the standard library.

    ``at_start``: only what is imported as soon as one of its modules is.
    """
    found: set[str] = set()
    for path in source.rglob("*.py"):
        if at_start and any(map(path.is_relative_to, LAZY)):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in _run_at_start(tree) if at_start else ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return frozenset(found - sys.stdlib_module_names - OWN)


def _run_at_start(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes outside of functions and of what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _run_at_start(child)


def declared(extras: Iterable[str]) -> set[str]:
    """Return the distributions that the package or one of these extras requires."""
    items = [Requirement(text) for text in requires("easymlnb") or ()]
    return {
        canonicalize_name(item.name)
        for item in items
        if item.marker is None
        or any(item.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    }


@pytest.mark.parametrize(
    ("source", "at_start", "extras"),
    [
        pytest.param(KERNEL, True, (), id="kernel side at start"),
        pytest.param(KERNEL, False, WHERE_USED | {"server"}, id="kernel side"),
        pytest.param(SERVER, False, OF_SERVER, id="server side"),
    ],
)
def test_every_import_is_declared(source: Path, at_start: bool, extras: set[str]) -> None:
    known, provided = declared(extras), packages_distributions()
    optional = OPTIONAL | (BETTER_WITH if source == SERVER else set())
    for module in imported(source, at_start=at_start) - optional:
        owners = {canonicalize_name(name) for name in provided.get(module, [module])}
        assert owners & known, f"setup.py does not name the distribution of {module}: {owners}"


@pytest.mark.skipif(
    os.environ.get("EASYMLNB_TEST_VERSIONS") != "locked",
    reason="only scripts/test without --newest and --oldest installs from the lock file",
)
def test_every_installed_package_is_in_the_lock_file() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {
        (canonicalize_name(name), version)
        for name, version in re.findall(r"^([\w.-]+)==([\w.+]+)", text, re.MULTILINE)
    }
    torch = (ROOT / "scripts/torch.txt").read_text(encoding="utf-8").strip()
    for found in distributions():
        name, version = canonicalize_name(found.name), found.version.partition("+")[0]
        if f"{name}=={version}" != torch and name != "easymlnb":
            assert (name, version) in locked, f"{name} {version} is not in requirements.lock"
