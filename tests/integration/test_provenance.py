"""Versions say what they were made from, differ in a readable way, and come back as folders."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from easymlnb.client import Client
from easymlnb.client.discovery import Server
from easymlnb.publishing.bundle import build_bundle
from support.notebooks import make_notebook
from support.server import RunningServer

CELL = """
import easymlnb as ml
from pathlib import Path
import helper_of_origin

@ml.service(name="origin", examples=[{{"x": 1}}])
def origin(x: int) -> int:
    Path("{data}")
    return x * {factor} + helper_of_origin.ADD
"""


@pytest.fixture(scope="module")
def server(session_server: RunningServer) -> Iterator[RunningServer]:
    root = session_server.root
    outside = session_server.folder / "origin_model.bin"
    outside.write_bytes(b"weights")
    for factor in (2, 3):
        (root / "helper_of_origin.py").write_text(f"ADD = {factor}")
        cell = CELL.format(factor=factor, data=outside)
        found = session_server.publish(make_notebook(cell, "print('seen')"), "origin.ipynb")
        assert found["state"] == "ready", found
    yield session_server
    session_server.http.delete("services/origin")


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(Server(f"{server.url}easymlnb/", server.token)) as made:
        yield made


def test_a_version_says_what_it_was_made_from(server: RunningServer, client: Client) -> None:
    found = client.admin.provenance("origin", 2)
    assert (found["version"], found["previous"], found["notebook"]) == (2, 1, "origin.ipynb")
    assert found["environment"] == "kernel"
    assert found["files"].keys() == {"helper_of_origin.py"}
    (model,) = found["inputs"].values()
    assert (model["size"], len(model["sha256"])) == (7, 64)
    assert {"easymlnb", "pydantic", "ipykernel"} <= found["packages"].keys()
    assert found["python"].startswith("3.")
    assert found["drift"] == {"changed": {}, "missing": {}}
    assert found["changes"]["files"]["changed"].keys() == {"helper_of_origin.py"}
    executed = server.http.get(found["executed"])
    assert "seen" in json.dumps(executed.json()["cells"][1]["outputs"])
    versions = server.http.get("services/origin/versions").json()["versions"]
    assert versions[1]["drift"] == found["drift"]


def test_versions_differ_in_a_readable_way(server: RunningServer, client: Client) -> None:
    found = client.admin.version_diff("origin", 1, 2)
    assert [one["change"] for one in found["cells"]] == ["changed"]
    assert "+    return x * 3 + helper_of_origin.ADD" in found["cells"][0]["lines"]
    assert "helper_of_origin.py" in found["text"]
    assert client.admin.version_diff("origin", 2)["text"] == found["text"]
    command = [Path(sys.executable).with_name("easymlnb"), "diff", "origin", "1", "2"]
    ran = subprocess.run(
        [*command, "--url", server.url, "--token", server.token], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (0, found["text"]), ran.stderr
    page = server.http.get("services/origin/versions/2/page")
    assert page.status_code == 200 and "helper_of_origin.py" in page.text


def test_a_checkout_gives_the_same_bundle(client: Client, tmp_path: Path) -> None:
    done = client.admin.checkout("origin", 1, tmp_path / "old")
    assert (done.folder / "helper_of_origin.py").read_text() == "ADD = 2"
    again = build_bundle(done.notebook)
    assert again.id == client.admin.provenance("origin", 1)["bundle"]
    with pytest.raises(FileExistsError, match="not empty"):
        client.admin.checkout("origin", 1, tmp_path / "old")


def test_a_version_is_a_crate(client: Client, tmp_path: Path) -> None:
    data = client.admin.version_crate("origin", 2)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path)
    crate = ROCrate(tmp_path)
    assert crate.get("#run")["result"][0].id == "executed.ipynb"
    assert {"source/origin.ipynb", "source/helper_of_origin.py"} <= {
        one.id for one in crate.root_dataset["hasPart"]
    }


@pytest.mark.parametrize("version", ["3", "0", "-1", "one", "9" * 60])
def test_unknown_versions_are_named(server: RunningServer, version: str) -> None:
    for what in ("provenance", "diff", "bundle", "crate", "notebook"):
        answer = server.http.get(f"services/origin/versions/{version}/{what}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "version_not_found"
    assert server.http.get(f"services/origin/versions/1/diff?to={version}").status_code == 404
