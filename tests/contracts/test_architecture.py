"""What the import rules in pyproject.toml cannot say: light imports, short files and functions."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "easymlnb", ROOT / "server-extension" / "easymlnb_server")
HEAVY = ("torch", "pandas", "numpy", "sklearn", "plotly", "ipywidgets", "PIL", "tornado")
LONGEST = 400
LONG = {
    ROOT / "easymlnb/contract/errors.py",
    ROOT / "server-extension/easymlnb_server/store/tables.py",
}
"""Tables, to be read as a whole."""
LONGEST_FUNCTION = 40
TABLES = {
    "wiring/server.py": {"_context"},
    "http/routes.py": {"_common_routes"},
    "protocols/assistants/clients.py": {"clients"},
    "protocols/oip/operations.py": {"_of_model"},
}
"""Functions that are one table."""


@pytest.mark.parametrize("start", ["easymlnb", "easymlnb.contract.worker_protocol"])
def test_import_stays_light(start: str) -> None:
    code = f"import sys, {start}; print(*set({HEAVY!r}) & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == ""


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_files_stay_short(package: Path) -> None:
    for path in package.rglob("*.py"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= LONGEST or path in LONG, path


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_functions_stay_short(package: Path) -> None:
    long = {}
    for path in package.rglob("*.py"):
        place = path.relative_to(package).as_posix()
        if place.startswith("store/migrations/"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = {node.name for node in ast.walk(tree) if _length(node) > LONGEST_FUNCTION}
        if more := found - TABLES.get(place, set()):
            long[place] = more
    assert long == {}


def _length(node: ast.AST) -> int:
    """Return the lines of a function below its head and its docstring."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return 0
    first = node.body[0].lineno
    if ast.get_docstring(node) is not None:
        first = (node.body[0].end_lineno or first) + 1
    return (node.end_lineno or first) - first + 1
