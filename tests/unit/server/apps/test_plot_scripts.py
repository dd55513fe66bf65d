"""The scripts that draw plots, as pages fetch them."""

import gzip
from pathlib import Path

import brotli
import pytest

from easymlnb_server.apps.voila import plot_scripts
from easymlnb_server.apps.voila.assets import Assets

NPM = Path(__file__).parents[4] / "node_modules"


@pytest.mark.parametrize("name", plot_scripts.SMALL)
def test_all_encodings_have_the_same_content(name: str) -> None:
    content, packed = plot_scripts.small(name)
    assert brotli.decompress(packed["br"]) == gzip.decompress(packed["gzip"]) == content
    assert len(packed["br"]) < 0.3 * len(content)
    assert b"plotly.js (%s - minified)" % name.removeprefix("plotly-").encode() in content[:200]


@pytest.mark.parametrize("name", plot_scripts.SMALL)
def test_small_scripts_are_those_of_npm(name: str) -> None:
    package = NPM / f"plotly.js-{name.removeprefix('plotly-')}-dist-min"
    if not package.is_dir():
        pytest.skip("The packages of package.json are not installed (scripts/check).")
    assert plot_scripts.small(name)[0] == (package / f"{name}.min.js").read_bytes()


def test_pages_find_every_script() -> None:
    assets = Assets()
    assert all(assets.has(f"{name}.js") for name in plot_scripts.NAMES)
    assert (plot_scripts.FOLDER / "LICENSE").read_text().startswith("MIT License")
