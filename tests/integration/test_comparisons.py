"""Calls are recorded and flagged on a real server, and versions are compared on them."""

import io
import json
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from easymlnb.client import Client, connect
from easymlnb.publishing import comparing
from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.page_channel import open_page, pass_of
from support.server import RunningServer, running_server

SOURCE = """
import time, easymlnb as ml, numpy as np

@ml.service(
    examples=[{{"x": 1.0}}, {{"x": 2.0}}],
    record=ml.Record(share=1.0, visitors=True), public=True,
)
def rated(x: float, file: ml.File | None = None) -> dict:
    time.sleep(0.02)
    label = "high" if x > {limit} else "low"
    return {{"y": x * {factor}, "label": label, "size": file and file.size}}

@ml.service(examples=[{{"side": 8}}])
def mask(side: int, key: ml.Secret = "none") -> ml.Image:
    image = np.zeros((16, 16), np.uint16)
    image[:side, :side] = 1
    image[:{cut}, :4] = 0
    return image

@ml.service(record=ml.Record(share=1.0))
def count(to: int):
    for number in range(to):
        yield number
"""


def source(factor: float, limit: float, cut: int) -> Any:
    return make_notebook(SOURCE.format(factor=factor, limit=limit, cut=cut))


@pytest.fixture(scope="module")
def server(
    database: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("records")
    versions = source(2, 5, 0), source(2.5, 2, 4)
    with running_server(folder, app_kernels=1, options=database) as made:
        for notebook in versions:
            found = made.publish(notebook, "rated.ipynb")
            assert found["state"] == "ready", found
        yield made


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with connect(server.url, server.token) as made:
        yield made


def flag(http: httpx.Client, request_id: str, **more: Any) -> httpx.Response:
    body = {"request_id": request_id, "reason": "wrong label", **more}
    return http.post("services/rated/flag", json=body)


def test_sampled_calls_are_written_with_files_and_deleted(
    server: RunningServer, client: Client
) -> None:
    assert client.rated(x=3.0, file=b"abc") == {"y": 7.5, "label": "high", "size": 3}
    answer = server.call("rated", x="no number")
    assert answer.status_code == 422
    rows = server.wait_for(
        lambda: len(found := client.admin.records("rated")) == 2 and found, "nothing is recorded"
    )
    assert [(row["status"], row["code"]) for row in rows] == [(422, "invalid_input"), (200, "")]
    assert all(row["kind"] == "recorded" and row["expires"] for row in rows)
    content = client.admin.record("rated", rows[1]["id"])
    assert content["result"] == {"y": 7.5, "label": "high", "size": 3}
    again = client.admin.record_inputs("rated", rows[1]["id"])
    assert (again["x"], again["file"].data) == (3.0, b"abc")
    assert "record_inputs" in client.admin.record_code("rated", rows[1]["id"])
    assert client.admin.remove_records("rated", caller="nobody") == 0
    assert client.admin.remove_records("rated") == 2
    assert client.admin.records("rated") == []


def test_a_stream_is_recorded_with_its_items(server: RunningServer, client: Client) -> None:
    assert [*client.count(to=3)] == [0, 1, 2]
    rows = server.wait_for(lambda: client.admin.records("count"), "nothing is recorded")
    assert client.admin.record("count", rows[0]["id"])["result"] == [0, 1, 2]


def test_form_and_page_flag_their_own_calls(server: RunningServer, client: Client) -> None:
    seen = server.http.post(
        "services/rated/view", json={"x": 4}, headers={"X-Request-Id": "seen-by-me"}
    )
    assert seen.status_code == 200
    visitor = httpx.Client(base_url=f"{server.url}easymlnb/", timeout=60)
    with httpx.Client(timeout=60) as browser:
        visitor.headers["Authorization"] = pass_of(open_page(server, browser, "public/rated"))
    called = visitor.post(
        "services/rated/view", json={"x": 9}, headers={"X-Request-Id": "seen-by-visitor"}
    )
    assert called.status_code == 200
    # Nobody can flag the call of somebody else, and visitors cannot make one up.
    assert flag(visitor, "seen-by-me").status_code == 404
    assert flag(visitor, "", input={"x": 1}).status_code == 404
    assert flag(server.http, "seen-by-me").status_code == 201
    assert flag(visitor, "seen-by-visitor").status_code == 201
    rows = client.admin.flags("rated")
    assert {row["request_id"] for row in rows} == {"seen-by-me", "seen-by-visitor"}
    assert {row["caller"].partition(" ")[0] for row in rows} == {"user", "visitor"}
    assert all(row["expires"] is None and row["reason"] == "wrong label" for row in rows)
    data = client.admin.records_dataset("rated")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        lines = [json.loads(line) for line in archive.read("calls.jsonl").splitlines()]
    assert sorted(line["input"]["x"] for line in lines) == [4, 9]
    shown = server.http.get("services/rated/records/page").text
    assert "wrong label" in shown
    visitor.close()


def test_a_form_under_a_cell_flags(server: RunningServer, client: Client) -> None:
    kernel = NotebookKernel(server.http, "flags.ipynb")
    try:
        ran = kernel.run(
            "import easymlnb as ml\n@ml.service\ndef halved(x: float = 3) -> float:\n"
            "    return x / 2\n"
        )
        assert not ran.error
        ran = kernel.run(
            "form = halved.form()\nform.run(); form.wait(20)\n"
            "request = form._call.event.request_id\nform.actions['flag'](request)\n"
            "form.flag_bar._reason.value = 'too small'\nform.flag_bar.send()\n"
            "import time\nwhile form.flag_bar._sending: time.sleep(0.05)\n"
            "print(form.flag_bar._message.value)\nprint(halved.flags()[0]['reason'])"
        )
        assert not ran.error
        assert "Flagged" in ran.stdout
        assert "too small" in ran.stdout
        (row,) = client.admin.flags("halved")
        assert (row["version"], row["source"], row["inputs"]) == ("live", "caller", "x=3.0")
    finally:
        kernel.close()


def test_versions_are_compared(server: RunningServer, client: Client, tmp_path: Path) -> None:
    report = comparing.compare("rated", 1, 2, url=server.url, token=server.token)
    assert (report.state, report.outcomes, report.same) == ("succeeded", {"different": 2}, False)
    assert report.summary["largest"] == 1.0
    assert [side["calls"] for side in report.summary["latency"]] == [2, 2]
    assert all(side["p50"] > 0.02 for side in report.summary["latency"])
    shown = server.http.get(report.url.partition("/easymlnb/")[2])
    assert shown.status_code == 200
    assert "Labels that changed" not in shown.text
    masks = client.admin.compare("mask", 1, 2)
    assert masks["summary"]["iou"] == pytest.approx(0.75)
    # These calls were made by the server, so they are neither logged nor recorded.
    log = server.http.get("services/mask/log").json()["entries"]
    assert not [entry for entry in log if entry["request_id"].startswith("compare-")]
    for versions, status in (([1, 9], 404), ([1, 1], 400), ([1], 400), (["no", 2], 404)):
        answer = server.http.post("services/rated/comparisons", json={"versions": versions})
        assert answer.status_code == status, answer.text
    assert [one["on"] for one in client.admin.comparisons("mask")] == ["examples"]


def test_shadow_calls_are_compared_on_a_page(server: RunningServer, client: Client) -> None:
    traffic = {"shadow": {"version": 1, "share": 1.0}}
    assert server.http.put("services/rated/traffic", json=traffic).status_code == 200
    assert client.rated(x=3.0)["label"] == "high"
    at = "services/rated/comparisons/shadow"
    server.wait_for(lambda: server.http.get(at).json()["shadows"], "nothing was compared")
    page = server.http.get(f"{at}/page").text
    for said in ("Version 1 gets copies of 100 %", "Version 2 and its shadow, version 1", "label"):
        assert said in page, said
    assert f"{at}/page" in server.http.get("services/rated/page").text
    assert server.http.put("services/rated/traffic", json={"shadow": None}).status_code == 200


def test_a_comparison_survives_kill_of_the_server(
    server: RunningServer, client: Client, tmp_path: Path
) -> None:
    table = tmp_path / "inputs.csv"
    table.write_text("x\n" + "\n".join(map(str, range(60))))
    started = client.admin.compare("rated", 1, 2, on=str(table), wait=False)
    assert started["total"] == 60

    def found() -> Any:
        return server.http.get(f"comparisons/{started['id']}").json()

    server.wait_for(lambda: found()["done"] >= 8, "it does not run")
    server.stop(signal.SIGKILL)
    server.start()
    before = found()
    assert before["state"] == "running"
    assert 8 <= before["done"] < 60
    ended = server.wait_for(lambda: (one := found())["state"] == "succeeded" and one, "no end", 90)
    assert [item["number"] for item in ended["items"]] == list(range(60))
    assert ended["items"][:8] == before["items"][:8]
    flips = ended["summary"]["flips"]
    assert [(one["before"], one["after"], one["count"]) for one in flips] == [("low", "high", 3)]
    assert server.http.delete(f"comparisons/{started['id']}").status_code == 204
    assert server.http.get(f"comparisons/{started['id']}").status_code == 404
