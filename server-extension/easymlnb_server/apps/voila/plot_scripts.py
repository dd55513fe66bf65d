"""The scripts that draw plots, by size: the small ones are ours, the full one is plotly's own."""

import gzip
from importlib.resources import files
from pathlib import Path

import brotli

from easymlnb.contract import installation

FOLDER = Path(__file__).parent / "plotly"
"""plotly.js as npm publishes it, packed; ``scripts/build-front`` copies it."""

SMALL = ("plotly-basic", "plotly-cartesian")
FULL = "plotly"
NAMES = (*SMALL, FULL)
"""What the page's script calls them."""


def small(name: str) -> tuple[bytes, dict[str, bytes]]:
    """Return a small bundle, and its compressed content by the name of the encoding."""
    packed = (FOLDER / f"{name}.js.br").read_bytes()
    content = brotli.decompress(packed)
    return content, {"br": packed, "gzip": gzip.compress(content, 6)}


def full() -> Path | None:
    """Return plotly's script, which comes with its Python package; None if that is missing."""
    if installation.missing("plotly"):
        return None
    return Path(str(files("plotly"))) / "package_data/plotly.min.js"
