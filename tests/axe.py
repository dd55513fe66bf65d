"""Pages looked at by axe-core, which knows what shuts people out."""

import os
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

REST = """async () => {
  const ends = (one) => isFinite(one.effect.getComputedTiming().endTime);
  const moves = () => document.querySelector(".em-dim") || document.getAnimations().some(ends);
  for (let turn = 0; turn < 1200 && moves(); turn++) await new Promise((go) => setTimeout(go, 50));
  // A form gives names to what is new one frame later; a page that nobody sees draws none.
  const frame = () => new Promise((go) => { requestAnimationFrame(go); setTimeout(go, 1000); });
  await frame();
  await frame();
}"""
"""Waits until no former result is shown, which is pale, and nothing moves that comes to an end."""


def serious(page: Any) -> list[str]:
    """Return what keeps somebody from using a page once it is at rest, with the element of each."""
    if find_spec("axe_playwright_python") is None:
        pytest.skip("axe-core is not installed (pip install easymlnb[dev])")
    page.evaluate(REST)
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
