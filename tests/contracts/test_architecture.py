"""What the import rules in pyproject.toml cannot say: light imports, short files."""

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
