"""Pages looked at by axe-core, which knows what shuts people out."""

import os
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


def serious(page: Any) -> list[str]:
    """Return what keeps somebody from using a page as it is now, with the element of each."""
    if find_spec("axe_playwright_python") is None:
        pytest.skip("axe-core is not installed (pip install easymlnb[dev])")
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("axe.run(document)")["violations"]
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def keep(page: Any, name: str) -> None:
    """Keep how a page looks where ``EASYMLNB_SHOTS`` says, for people to look at."""
    if folder := os.environ.get("EASYMLNB_SHOTS"):
        page.screenshot(path=Path(folder) / f"page-{name}.png", full_page=True)
