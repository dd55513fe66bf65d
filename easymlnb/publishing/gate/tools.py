"""Run the tools of the gate as processes: with a time limit, and without configuration files."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import GateUnavailable
from easymlnb.contract.installation import missing

EXTRA = "gate"
MODULES = ("ruff", "bandit", "detect_secrets")
SECONDS = 120.0
"""Time limit of one tool."""


class TimeIsOver(GateUnavailable):
    """A tool did not end in time."""


def check_installed() -> None:
    """Raise ``GateUnavailable`` unless all tools are installed."""
    if absent := missing(*MODULES):
        verb = "is" if len(absent) == 1 else "are"
        raise GateUnavailable(
            f"The quality gate needs {' and '.join(absent)}, which {verb} not installed in this "
            f"environment: pip install 'easymlnb[{EXTRA}]'"
        )


def version_of(package: str) -> str:
    """Return the installed version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def run_module(module: str, arguments: Sequence[str], folder: Path) -> Any:
    """Return the JSON that a tool prints; raises ``GateUnavailable``, or ``TimeIsOver``."""
    # -P: a file of the notebook must not take the place of a package.
    command = [sys.executable, "-P", "-m", module, *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeIsOver(
            f"{module} did not end within {SECONDS:g} s. Split the notebook, or exclude files."
        ) from None
    try:
        return json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise GateUnavailable(
            f"{module} failed (exit code {done.returncode}): {said[0][:500]}"
        ) from None


def _environment() -> dict[str, str]:
    """Return the environment without settings of the tools."""
    dropped = ("RUFF_", "BANDIT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "PYTHONUTF8": "1", "NO_COLOR": "1"}


def text(value: Any, limit: int = 500) -> str:
    """Return one line of a tool's text."""
    return " ".join(str(value or "").split())[:limit]


def whole(values: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the objects among a tool's results."""
    return [value for value in values if isinstance(value, dict)]
