"""``easymlnb publish``: the bundle goes out, its way is shown, and where it failed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easymlnb.cli import output


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a notebook is published, and with which files."""

    names: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    requirements: Path | None = None


def publish_and_show(
    notebook: Path, choice: Choice, *, url: str | None, token: str | None, json: bool
) -> None:
    """Publish and print what came of it; exits with 1 when the notebook did not get ready."""
    raise NotImplementedError


def failure_text(error: dict[str, Any]) -> str:
    """Return why a bundle failed, with the cell and its traceback, for a terminal."""
    lines = [str(error.get("message") or "The notebook did not get ready.")]
    if error.get("cell") is not None:
        lines += ["", f"Cell {error['cell']}:"]
    lines += [f"    {line}" for line in str(error.get("source") or "").splitlines()]
    if error.get("traceback"):
        lines += ["", *str(error["traceback"]).rstrip().splitlines()]
    return output.clean("\n".join(lines))
