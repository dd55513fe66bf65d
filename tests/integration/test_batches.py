"""Batches and sweeps on a real server: tables, files, failures, kills, cancel, client and CLI."""

import asyncio
import csv
import io
import os
import signal
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import easymlnb as ml
from easymlnb.cli.app import app
from easymlnb.contract.errors import BadRequest
from support.invariants import workers
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

pytestmark = pytest.mark.timeout(300)

SERVICES = """
import os, time
from pathlib import Path
from typing import Annotated
import numpy as np
import easymlnb as ml

@ml.service(batch=ml.Batch())
def square(x: ml.Batched[float]) -> list[float]:
    return [one * one for one in x]

@ml.service(timeout=5)
def mark(n: int, folder: str, until: int = 10**9) -> int:
    '''Note each run of a row in a file; rows from ``until`` on wait for a file.'''
    with open(Path(folder) / "rows", "a") as file:
        file.write(f"{n}\\n")
    while n >= until and not (Path(folder) / "go").exists():
        time.sleep(0.01)
    if n == 13:
        raise ValueError("unlucky")
    return -n

@ml.service
def crash(n: int) -> int:
    if n == 5:
        os._exit(1)
    return n

@ml.service
def invert(image: Annotated[np.ndarray, ml.Image()]) -> Annotated[np.ndarray, ml.Image()]:
    return 255 - image

@ml.service
def score(trees: int, depth: int = 1) -> dict[str, float]:
    if trees < 0:
        raise ValueError("too few")
    return {"score": trees / depth, "cost": float(trees)}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("batches")
    with running_server(folder, make_notebook(SERVICES)) as made:
        yield made
        made.stop()
        assert workers(made) == {}


def submit(server: RunningServer, name: str, table: bytes, **query: str) -> str:
    headers = {"Content-Type": "text/csv"}
    path = f"services/{name}/batches"
    answer = server.http.post(path, content=table, headers=headers, params=query)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(server: RunningServer, id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = server.http.get(f"jobs/{id}", params={"wait": 20}).json()
        return found if found["state"] not in ("queued", "running") else None

    found: dict[str, Any] = server.wait_for(look, "the job did not end")
    return found


def result(server: RunningServer, id: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(server.http.get(f"jobs/{id}/result").text)))


def test_a_table_runs_row_by_row(server: RunningServer, tmp_path: Path) -> None:
    table = tmp_path / "in.csv"
    table.write_text("id,n\n" + "".join(f"r{n},{n}\n" for n in range(20)))
    with ml.connect(server.url, server.token) as client:
        values = {"folder": str(tmp_path)}
        job = client.mark.batch(table, values=values, extra_columns="keep")
        found = job.result()
        assert list(found.columns) == ["id", "n", "result"]
        assert found["n"].tolist() == list(range(20))
        assert found["result"].isna().tolist() == [n == 13 for n in range(20)]
        assert job.errors.to_dict("records") == [
            {"row": 14, "code": "call_failed", "message": job.errors["message"][0]}
        ]
        info = job.info()
        assert (info["kind"], info["progress_text"]) == ("batch", "20 of 20 rows, 1 failed")
        assert "ValueError: unlucky" in job.log
        assert job.id in [one.id for one in client.jobs.list(service="mark")]
        frame = client.square.batch([{"x": 1.5}, {"x": 2}]).result()
        assert frame["result"].tolist() == [2.25, 4.0]
        parquet = client.square.batch(frame[["x"]])
        assert parquet.result()["result"].tolist() == [2.25, 4.0]
        wrong = client.square.batch(frame)
        with pytest.raises(BadRequest, match="Column 'result' is no parameter"):
            wrong.result()
        assert list(client.square.map([1, {"x": 3}])) == [1.0, 9.0]

    async def map_async() -> list[float]:
        async with ml.connect_async(server.url, server.token) as client:
            return [one async for one in client.square.map([1, 2, 3], max_concurrency=2)]

    assert asyncio.run(map_async()) == [1.0, 4.0, 9.0]
    page = server.http.get("services/mark/batches/page").text
    assert "Run on a table" in page and "20 of 20 rows" in page


def stored_rows(server: RunningServer, id: str) -> int:
    """Return how many rows of a batch have stored results."""
    text = server.http.get(f"jobs/{id}").json()["progress_text"]
    return int(text.split(" ")[0].replace(",", "") or 0) if text else 0


def waiting_rows(count: int, folder: Path) -> bytes:
    """Return a table whose third block of 2,000 rows waits for a file."""
    return ("n,folder,until\n" + "".join(f"{n},{folder},4000\n" for n in range(count))).encode()


def runs_of(folder: Path) -> Counter[str]:
    return Counter((folder / "rows").read_text().splitlines())


def test_a_batch_outlives_its_server(server: RunningServer, tmp_path: Path) -> None:
    count = 4500
    id = submit(server, "mark", waiting_rows(count, tmp_path))
    server.wait_for(lambda: stored_rows(server, id) >= 2000, "there is no progress")
    stored = stored_rows(server, id)
    server.stop(signal.SIGKILL)
    (tmp_path / "go").touch()
    server.start()
    found = ended(server, id)
    assert (found["state"], found["attempt"]) == ("succeeded", 1), found
    rows = result(server, id)
    assert [row[0] for row in rows] == ["n", *map(str, range(count))]
    assert [row[3] for row in rows[1:]] == ["" if n == 13 else str(-n) for n in range(count)]
    runs = runs_of(tmp_path)
    assert len(runs) == count
    assert runs.total() - count <= count - stored, "a stored part ran again"


def test_a_canceled_batch_is_resumed(server: RunningServer, tmp_path: Path) -> None:
    id = submit(server, "mark", waiting_rows(4600, tmp_path))
    server.wait_for(lambda: stored_rows(server, id) >= 2000, "there is no progress")
    stored = stored_rows(server, id)
    assert server.http.post(f"jobs/{id}/cancel").status_code == 202
    assert ended(server, id)["state"] == "cancelled"
    (tmp_path / "go").touch()
    again = server.http.post(f"jobs/{id}/retry").json()["id"]
    assert ended(server, again)["progress_text"] == "4,600 of 4,600 rows, 1 failed"
    runs = runs_of(tmp_path)
    assert runs.total() - 4600 <= 4600 - stored, "a stored part ran again"


def test_a_row_that_ends_its_worker_is_a_row_of_the_errors(server: RunningServer) -> None:
    id = submit(server, "crash", b"n\n" + b"".join(b"%d\n" % n for n in range(12)))
    found = ended(server, id)
    assert found["state"] == "succeeded", found
    assert result(server, id) == [["n", "result"]] + [
        [str(n), "" if n == 5 else str(n)] for n in range(12)
    ]
    errors = server.http.get(found["files"][0]["url"]).text.splitlines()
    assert [line.split(",")[:2] for line in errors] == [["row", "code"], ["6", "worker_lost"]]


def test_files_of_a_zip_and_in_a_terminal(server: RunningServer, tmp_path: Path) -> None:
    from PIL import Image

    names = ["a.png", "b.png"]
    for value, name in enumerate(names):
        Image.new("L", (2, 2), value).save(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for name in names:
            archive.write(tmp_path / name, name)
    target = ["--url", server.url, "--token", server.token]
    out = tmp_path / "out.zip"
    ran = CliRunner().invoke(
        app, ["batch", "invert", str(tmp_path / "cells.zip"), "-o", str(out), *target]
    )
    assert ran.exit_code == 0, ran.output
    with zipfile.ZipFile(out) as archive:
        assert sorted(archive.namelist()) == ["a.png", "b.png", "results.csv"]
        assert Image.open(io.BytesIO(archive.read("b.png"))).getpixel((0, 0)) == 254
    paths = [str(tmp_path / name) for name in names]
    ran = CliRunner().invoke(app, ["batch", "invert", *paths, "-o", str(out), *target])
    assert ran.exit_code == 0, ran.output
    assert "2 of 2 rows" in ran.output


def test_a_sweep_runs_its_trials(server: RunningServer, tmp_path: Path) -> None:
    with ml.connect(server.url, server.token) as client:
        job = client.score.sweep({"trees": [10, -1], "depth": [1, 2]})
        table = job.result()
        assert table["score"].tolist()[:2] == [10.0, 5.0]
        assert table["state"].tolist() == ["succeeded", "succeeded", "failed", "failed"]
        assert table["error"].notna().tolist() == [False, False, True, True]
        listed = [one.id for one in client.jobs.list(service="score")]
        assert listed == [job.id]
        trials = server.http.get("jobs", params={"parent": job.id}).json()["jobs"]
        assert {one["kind"] for one in trials} == {"trial"} and len(trials) == 4
        assert b"trial,trees,depth,state,score,cost" in job.file("results.csv").data
    refused = server.http.post(
        "services/score/sweeps", json={"grid": {"trees": list(range(100)), "depth": [1] * 11}}
    )
    assert (refused.status_code, refused.json()["error"]["message"].split(";")[0]) == (
        400,
        "The sweep has 1,100 trials",
    )
    target = ["--url", server.url, "--token", server.token]
    out = tmp_path / "sweep.csv"
    command = ["sweep", "score", "--grid", "trees=1,2", "--value", "depth=2", "-o", str(out)]
    ran = CliRunner().invoke(app, [*command, *target])
    assert ran.exit_code == 0, ran.output
    assert out.read_text().splitlines()[1].startswith("1,1,succeeded,0.5,1.0,")
    assert "Trials" in server.http.get(f"jobs/{job.id}/page").text


def test_a_canceled_sweep_cancels_its_trials(server: RunningServer, tmp_path: Path) -> None:
    grid = {"n": list(range(8))}
    values = {"folder": str(tmp_path), "until": 0}
    sent = server.http.post("services/mark/sweeps", json={"grid": grid, "values": values})
    id = sent.json()["id"]
    server.wait_for((tmp_path / "rows").exists, "no trial runs")
    assert server.http.post(f"jobs/{id}/cancel").status_code == 202
    assert ended(server, id)["state"] == "cancelled"
    trials = server.http.get(f"jobs/{id}/trials").json()["trials"]
    assert {one["state"] for one in trials} == {"cancelled"}
    assert os.path.getsize(tmp_path / "rows")
