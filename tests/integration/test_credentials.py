"""Credentials of published and live services, and a search for their values everywhere else."""

import gzip
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

CANARY = 'canary-9c1f4e/"7b2d'
ROTATED = "rotated-5e8a0d31c7"

SERVICES = '''
import easymlnb as ml
at_load = ml.credential("DB")
print("loaded with", at_load, repr(str(at_load)))
at_load

@ml.service(examples=[{}])
def keyed(how: str = "length") -> int:
    """Use a credential."""
    value = ml.credential("DB")
    print("using", value)
    if how == "raise":
        raise RuntimeError(f"cannot connect with {value}")
    if how == "progress":
        ml.progress(0.5, f"connecting with {value}")
    if how == "nosuch":
        ml.credential("NOSUCH")
    return len(value)

@ml.service
async def keyed_async() -> str:
    """Compare the two values."""
    print("using", ml.credential("DB"))
    return "same" if ml.credential("DB") == at_load else "changed"
'''

OTHER = '''
import easymlnb as ml

@ml.service
def unkeyed() -> str:
    """Try to get the credential of another service."""
    import gc
    from easymlnb.runtime.credentials import CREDENTIALS
    assert CREDENTIALS.having("DB") == {}
    return ml.credential("DB")
'''


def cli(
    server: RunningServer, *arguments: str, value: str = ""
) -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("easymlnb"))
    command = [program, "credentials", *arguments]
    command += ["--url", server.url, "--token", server.token]
    return subprocess.run(
        command, input=value, capture_output=True, text=True, env=server.environment, timeout=60
    )


@pytest.fixture(scope="module")
def server(
    database: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("credentials")
    with running_server(folder, options=("--log-level=DEBUG", *database)) as made:
        for service in ("keyed", "keyed_async"):
            sent = cli(made, "set", service, "DB", value=f"{CANARY}\n")
            assert sent.returncode == 0, sent.stderr
        for number, cell in enumerate((SERVICES, OTHER)):
            found = made.publish(make_notebook(cell), f"credentials{number}.ipynb")
            assert found["state"] == "ready", found
        yield made


def test_published_code_has_the_credentials_of_its_service_only(server: RunningServer) -> None:
    assert server.call("keyed").json() == len(CANARY)
    assert server.call("keyed_async").json() == "same"
    assert server.call("unkeyed").json()["error"]["code"] == "call_failed"
    refused = server.http.get("services/unkeyed/log").json()["entries"][-1]["trace"]
    assert "easymlnb credentials set unkeyed DB" in refused
    assert server.call("keyed", how="nosuch").status_code == 500


def test_live_cells_have_them_too(server: RunningServer) -> None:
    kernel = NotebookKernel(server.http)
    try:
        kernel.run("import easymlnb as ml")
        assert kernel.run("print(len(ml.credential('DB')))").stdout == f"{len(CANARY)}\n"
        shown = kernel.run("ml.credential('DB')")
        assert (shown.error, CANARY in str(shown)) == ("", False)
        missing = kernel.run("ml.credential('NOSUCH')")
        assert "easymlnb credentials set SERVICE NOSUCH" in missing.error
        hidden = kernel.run("import os; print('EASYMLNB_CREDENTIALS_KEY' in os.environ)")
        assert hidden.stdout == "False\n"
    finally:
        kernel.close()


def test_no_value_is_found_anywhere(server: RunningServer, database: tuple[str, ...]) -> None:
    for how in ("length", "raise", "progress"):
        server.http.post(
            "services/keyed/call", json={"how": how}, headers={"Accept": "text/event-stream"}
        )
    bad = server.http.put("services/keyed/credentials/BAD", json={"value": [CANARY]})
    assert bad.status_code == 400
    answers = [bad.text]
    bundle = server.http.get("services/keyed").json()["bundle"]
    for route in (
        "services", "services/keyed", "services/keyed/log", "services/keyed/page", "openapi.json",
        "services/keyed/credentials", "services/keyed/credentials/DB", "services/keyed/versions",
        f"bundles/{bundle}", f"bundles/{bundle}/notebook", "services/keyed/metadata", "placements",
    ):  # fmt: skip
        answer = server.http.get(route)
        assert answer.status_code == 200, (route, answer.text)
        answers.append(answer.text)
    answers.append(server.http.get(server.url + "metrics").text)
    log = server.http.get("services/keyed/log").json()["entries"]
    assert any("using ***" in entry["log"] for entry in log)
    assert any("cannot connect with ***" in entry["trace"] for entry in log)
    assert "loaded with ***" in answers[10]
    listed = cli(server, "list", "keyed", "--json")
    assert [one["name"] for one in json.loads(listed.stdout)] == ["DB"]
    answers.append(listed.stdout + listed.stderr)
    program, backup = Path(sys.executable).with_name("easymlnb"), server.folder / "saved.tar"
    saved = subprocess.run(
        [program, "backup", backup, *database],
        env=server.environment, capture_output=True, text=True,
    )  # fmt: skip
    assert saved.returncode == 0, saved.stderr
    answers.append(saved.stdout + saved.stderr)
    tables = [data.decode() for data in tables_of(backup)]
    assert any('"name":"keyed_async"' in text for text in tables)
    answers += tables
    needles = forms(CANARY)
    for answer in answers:
        assert not [needle for needle in needles if needle.decode() in answer]
    assert files_with(server.folder, needles) == []
    assert environments_with(server, needles) == []


def test_rotation_needs_no_publishing_and_no_restart(server: RunningServer) -> None:
    before = server.http.get("services/keyed").json()["version"]
    put = server.http.put("services/keyed_async/credentials/DB", json={"value": ROTATED})
    assert (put.status_code, ROTATED in put.text) == (200, False)
    assert server.call("keyed_async").json() == "changed"
    assert server.call("keyed").json() == len(CANARY)
    assert server.http.get("services/keyed").json()["version"] == before
    assert files_with(server.folder, forms(ROTATED)) == []
    assert cli(server, "remove", "keyed_async", "DB").returncode == 0
    assert server.http.get("services/keyed_async/credentials").json() == {"credentials": []}
    assert server.http.delete("services/keyed_async/credentials/DB").status_code == 404


def test_removing_a_service_removes_its_credentials(server: RunningServer) -> None:
    server.http.put("services/unkeyed/credentials/X", json={"value": ROTATED})
    assert server.http.delete("services/unkeyed").status_code == 204
    assert server.http.get("services/unkeyed/credentials").json() == {"credentials": []}


def forms(value: str) -> list[bytes]:
    return [value.encode(), json.dumps(value)[1:-1].encode(), repr(value)[1:-1].encode()]


def tables_of(backup: Path) -> Iterator[bytes]:
    """Yield the rows of each table in a backup."""
    with tarfile.open(backup) as tar:
        for member in tar:
            data = tar.extractfile(member)
            if data is not None and (packed := data.read()).startswith(b"\x1f\x8b"):
                yield gzip.decompress(packed)


def files_with(folder: Path, needles: list[bytes]) -> list[str]:
    """Return the files that contain a value: state, logs, kernels' files, histories."""
    database = folder / "data" / "easymlnb" / "easymlnb.sqlite"
    if database.exists():  # a backup has the rows of another one
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA wal_checkpoint")
        connection.close()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    return [str(path) for path in files if any(needle in path.read_bytes() for needle in needles)]


def environments_with(server: RunningServer, needles: list[bytes]) -> list[int]:
    """Return the processes whose environment or command line contains a value."""
    assert server.process is not None
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        for file in ("environ", "cmdline"):
            try:
                text = (entry / file).read_bytes()
            except OSError:
                continue
            if any(needle in text for needle in needles):
                found.append(int(entry.name))
    return found
