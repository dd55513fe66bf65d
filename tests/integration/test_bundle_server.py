"""``easymlnb serve-bundle``: what a container image runs, called over HTTP."""

import os
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import nbformat
import psutil
import pytest

from easymlnb.exporting.image import for_image
from easymlnb.exporting.source import from_file
from easymlnb.publishing.bundle import build_bundle
from easymlnb_server.http.routes import BUNDLE_ROUTES
from support.bundle_server import PROGRAM, BundleServer, bundle_server
from support.notebooks import make_notebook
from support.route_probes import METHODS, example
from unit.server.http.test_routes import EXAMPLES, named

pytestmark = pytest.mark.slow

CODE = """
import time
from pathlib import Path
import easymlnb as ml

HERE = Path("factor.txt").read_text()

@ml.service(placement="gpus-of-a-hub", timeout=60)
def multiply(value: float, seconds: float = 0.0, started: str = "") -> float:
    if started:
        Path(started).touch()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
    return value * float(HERE)

@ml.service
def password() -> str:
    return ml.credential("DB")[::-1]
"""
TOKEN = "token-of-the-callers"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A read-only folder with a bundle as an image has it."""
    folder = tmp_path_factory.mktemp("image")
    nbformat.write(make_notebook(CODE), folder / "work.ipynb")
    (folder / "factor.txt").write_text("2")
    bundles = folder / "bundles"
    bundles.mkdir()
    (folder / "plain.zip").write_bytes(build_bundle(folder / "work.ipynb").data)
    file = bundles / "bundle.zip"
    file.write_bytes(for_image(from_file(str(folder / "plain.zip"))))
    file.chmod(0o444)
    bundles.chmod(0o555)
    return bundles


@pytest.fixture
def server(bundles: Path, tmp_path: Path) -> Iterator[BundleServer]:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "DB").write_text("swordfish\n")
    (secrets / "..data").symlink_to(secrets / "DB")
    with bundle_server(
        tmp_path, bundles, EASYMLNB_TOKEN=TOKEN, EASYMLNB_CREDENTIALS=str(secrets)
    ) as found:
        yield found


def test_calls_rights_and_a_graceful_end(server: BundleServer, tmp_path: Path) -> None:
    assert {*server.statuses} == {200, 503}  # it says when the notebook is loaded
    login = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for path in ("services/multiply/call", "easymlnb/services/multiply/call"):
            answer = client.post(path, json={"value": 4}, headers=login)
            assert (answer.status_code, answer.json()) == (200, 8.0)
        tensor = {"name": "value", "datatype": "FP64", "shape": [1], "data": [4.0]}
        answer = client.post("v2/models/multiply/infer", json={"inputs": [tensor]}, headers=login)
        assert answer.json()["outputs"][0]["data"] == [8.0], answer.text
        assert client.get("v2/health/ready").status_code == 200
        assert client.post("services/password/call", json={}, headers=login).json() == "hsifdrows"
        assert client.post("services/multiply/call", json={"value": 4}).status_code == 401
        assert client.get("health/live").status_code == 200
        assert "easymlnb_calls_total" in client.get("metrics", headers=login).text
        # Jupyter's own routes are gone, and so is publishing.
        for path in ("api/kernels", "api/contents", "api/terminals", "login", "lab", "tree"):
            assert client.get(path, headers=login).status_code in (403, 404)
        assert client.get("easymlnb/../api/kernels", headers=login).status_code in (403, 404)
        zipped = {**login, "Content-Type": "application/zip"}
        refused = client.post("services", content=b"PK", headers=zipped)
        assert refused.status_code == 403
        assert "only answers calls" in refused.json()["error"]["message"]
    started = tmp_path / "started"
    values = {"value": 4, "seconds": 2, "started": str(started)}
    with ThreadPoolExecutor(1) as pool:
        url = f"{server.url}services/multiply/call"
        running = pool.submit(lambda: httpx.post(url, json=values, headers=login, timeout=60))
        while not started.exists():
            assert not running.done(), running.result().text
        assert server.process is not None
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert server.stop() == 0
        answer = running.result(60)
    assert (answer.status_code, answer.json()) == (200, 8.0)
    assert [one for one in children if one.is_running()] == []
    assert os.listdir(tmp_path / "tmp") == []
    assert TOKEN not in server.log
    assert "swordfish" not in server.log


def test_trusting_the_cluster_lets_everyone_call_and_do_nothing_else(
    bundles: Path, tmp_path: Path
) -> None:
    base = "/system/services/work/exposed/"
    variables = {"EASYMLNB_TRUST_CLUSTER": "1", "OSCAR_SERVICE_BASE_PATH": base}
    with bundle_server(tmp_path, bundles, base=base, **variables) as server:
        assert "TRUSTING THE CLUSTER: everyone who can reach port" in server.log
        assert "?token=" not in server.log
        call = f"{server.url}services/multiply/call"
        with httpx.Client(timeout=60) as client:
            assert client.post(call, json={"value": 4}).json() == 8.0
            # A gateway may have checked a token of its own.
            foreign = {"Authorization": "Bearer a.jwt.of-the-mesh"}
            assert client.post(call, json={"value": 4}, headers=foreign).json() == 8.0
            page = {"Origin": "http://evil.example"}
            refused = client.post(call, json={"value": 4}, headers=page)
            assert refused.status_code == 403
            assert "other origins" in refused.json()["error"]["message"]
            assert client.get(f"http://127.0.0.1:{server.port}/services").status_code in (403, 404)
            walk(client, server.url)


def walk(client: httpx.Client, url: str) -> None:
    """Try every method of every route: what is not for calling is refused."""
    for pattern, handler, *_ in BUNDLE_ROUTES:
        path = example(named(pattern), {**EXAMPLES, "NAME": "multiply", "UPLOAD": "0" * 43})
        for method in METHODS:
            verb = getattr(handler, method.lower())
            scopes = getattr(handler, "key_scopes", {})
            open_to_callers = scopes.get("GET" if method == "HEAD" else method)
            if open_to_callers or getattr(verb, "__allow_unauthenticated", False):
                continue
            answer = client.request(method, url + path)
            assert answer.status_code in (401, 403, 404, 405), (method, path, answer.text)


def test_a_server_without_a_token_does_not_start(bundles: Path, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [PROGRAM, "serve-bundle", str(bundles)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "easymlnb: No token is set, so no one could call the services." in done.stderr
    assert "Traceback" not in done.stderr
    assert stat.S_IMODE(bundles.stat().st_mode) == 0o555
