"""The built script of app pages: it is what its sources make."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "server-extension/easymlnb_server/apps/voila/share/voila/templates/easymlnb/static"
BUILT = ("app.js", "widgets.css", "sources.txt")


def test_built_script_is_newer_than_its_sources() -> None:
    hashed, *sources = (STATIC / "sources.txt").read_text(encoding="utf-8").splitlines()
    found = hashlib.sha256()
    for path in sources:
        found.update(f"{path}\n".encode() + (ROOT / path).read_bytes())
    assert found.hexdigest() == hashed, "run scripts/build-front and commit the result"


@pytest.mark.slow
def test_building_again_gives_the_same_files() -> None:
    if shutil.which("node") is None or not (ROOT / "node_modules/esbuild").is_dir():
        pytest.skip("Node.js or the npm packages are not installed (scripts/check installs them)")
    before = {name: (STATIC / name).read_bytes() for name in BUILT}
    command = ["node", "server-extension/front/build.mjs"]
    try:
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
        assert {name: (STATIC / name).read_bytes() for name in BUILT} == before
    finally:
        for name, content in before.items():
            (STATIC / name).write_bytes(content)
