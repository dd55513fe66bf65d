"""A real image: built without a daemon from a Debian base, and called as its user."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import nbformat
import psutil
import pytest

from easymlnb.publishing.bundle import build_bundle
from support.bundle_server import PROGRAM
from support.notebooks import make_notebook
from support.server import free_port

TOOLS = ("buildah", "skopeo", "mmdebstrap")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        bool(MISSING), reason=f"needs Debian's packages {', '.join(MISSING)} (apt-get install)"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="chroot isolation needs root"),
]

BASE = "docker.io/library/python:3.11-slim"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
TAG = "localhost/roll:3"
TOKEN = "token-of-the-image"
CODE = (
    "import easymlnb as ml\n@ml.service\ndef double(value: float) -> float:\n    return 2 * value"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a container store of its own, in which the base image is."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/graph"\n'
    )
    run(folder, "mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", "base.tar")
    base = run(folder, "buildah", "from", "scratch").strip()
    run(folder, "buildah", "add", base, "base.tar", "/")
    run(folder, "buildah", "commit", "--quiet", base, BASE)
    run(folder, "buildah", "rm", base)
    yield folder
    shutil.rmtree(folder / "graph", ignore_errors=True)


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "BUILDAH_ISOLATION": "chroot",
    }


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_an_exported_image_is_built_and_called(folder: Path) -> None:
    nbformat.write(make_notebook(CODE), folder / "work.ipynb")
    (folder / "work.zip").write_bytes(build_bundle(folder / "work.ipynb").data)
    options = ("--unlocked", "--wheels", "--tag", TAG, "-o", "context", "--build")
    run(folder, PROGRAM, "export", "image", "work.zip", *options)
    assert "--no-index" in (folder / "context/Dockerfile").read_text()
    config = json.loads(run(folder, "skopeo", "inspect", "--config", f"containers-storage:{TAG}"))
    config = config["config"]
    assert config["User"] == "10001:0"
    assert config["Entrypoint"][:2] == ["easymlnb", "serve-bundle"]
    assert config["Labels"]["org.easymlnb.services"] == "double"
    container = run(folder, "buildah", "from", "--pull-never", TAG).strip()
    absent = (
        "import importlib.util as u; print([n for n in ('debugpy', 'voila') if u.find_spec(n)])"
    )
    assert run(folder, "buildah", "run", container, "python", "-c", absent).strip() == "[]"
    assert run(folder, "buildah", "run", container, "id", "-u").strip() == "10001"
    called(folder, container, config["Entrypoint"])


def called(folder: Path, container: str, entrypoint: list[str]) -> None:
    """Run the container, call its service, and stop its server."""
    port = free_port()
    variables = ("--env", f"PORT={port}", "--env", f"EASYMLNB_TOKEN={TOKEN}")
    with (folder / "container.log").open("wb") as log:
        process = subprocess.Popen(
            ["buildah", "run", *variables, container, "--", *entrypoint],
            env=environment(folder), stdout=log, stderr=log,
        )  # fmt: skip
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        while not is_ready(client):
            assert process.poll() is None, (folder / "container.log").read_text()
        answer = client.post("/services/double/call", json={"value": 4}, timeout=60)
        assert (answer.status_code, answer.json()) == (200, 8.0)
    [server] = [
        one
        for one in psutil.Process(process.pid).children(recursive=True)
        if f"--ServerApp.port={port}" in one.cmdline()
    ]
    assert server.uids().real == 10001
    server.terminate()
    assert process.wait(60) == 0, (folder / "container.log").read_text()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
