"""Environments of their own for tests: a wheel of this repository, installed in a fresh one."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("easymlnb", "server-extension", "setup.py", "pyproject.toml", "README.md", "LICENSE")
GENERATED = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".mypy_cache")
UNREACHABLE = ("error sending request", "failed to fetch", "dns error", "connection refused")
"""What uv says where there is no package index."""


def run(*command: str | Path, **variables: str) -> str:
    """Run a command and return what it says."""
    ran = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **variables},
        cwd=ROOT / "docs",  # not the repository: Python would find its packages first
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def copy_source(folder: Path) -> Path:
    """Copy what the distribution is made from: a build writes into its source folder."""
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=GENERATED)
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


def build_wheel(source: Path, out: Path) -> Path:
    """Build the wheel of a copied source."""
    run(
        sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
        "--no-index", "--disable-pip-version-check", "-w", out, source,
    )  # fmt: skip
    (found,) = out.glob("*.whl")
    return found


@dataclass(frozen=True)
class Installed:
    """A virtual environment with packages from the index, in the versions of the lock file."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    def register(self, name: str, data: str, **variables: str) -> None:
        """Register a kernelspec in Jupyter's data folder ``data``."""
        install = ("-m", "ipykernel", "install", "--user", "--name", name)
        pairs = [part for item in variables.items() for part in ("--env", *item)]
        run(self.python, *install, *pairs, JUPYTER_DATA_DIR=data)


def install(folder: Path, *packages: str | Path) -> Installed:
    """Install packages into a new environment; skips the test where no index is reachable."""
    if find_spec("uv") is None:
        pytest.skip("uv is not installed (pip install easymlnb[dev])")
    from uv import find_uv_bin

    uv = find_uv_bin()
    run(uv, "venv", "--quiet", "--python", sys.executable, folder)
    made = Installed(folder)
    lock = ROOT / "requirements.lock"
    command = [uv, "pip", "install", "--quiet", "--python", made.python, "-c", lock, *packages]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if ran.returncode and any(text in ran.stderr.lower() for text in UNREACHABLE):
        pytest.skip(f"no package index can be reached: {ran.stderr.strip()[-300:]}")
    assert ran.returncode == 0, ran.stderr
    return made
