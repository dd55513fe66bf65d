"""Models without code on a real server: data first, train, predict, expose, train again, delete."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

import easymlnb as ml
from easymlnb.cli.app import app
from support.invariants import workers
from support.server import RunningServer, running_server

pytestmark = pytest.mark.timeout(300)

HOUSES = "area;rooms;district;price\n" + "".join(
    f"{40 + n},5;{n % 5 + 1};{'north' if n % 3 else 'south'};{3000 * n + 20_000 * (n % 3 == 0)}\n"
    for n in range(60)
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("templates")) as made:
        yield made
        made.stop()
        assert workers(made) == {}


def upload(server: RunningServer, text: str, name: str = "houses.csv") -> str:
    data = text.encode()
    begun = server.http.post("uploads?template=tabular", json={"name": name, "size": len(data)})
    assert begun.status_code == 201, begun.text
    id = begun.json()["id"]
    sent = server.http.put(f"uploads/{id}?offset=0", content=data)
    assert sent.status_code == 200, sent.text
    return str(id)


def trained(server: RunningServer, made: httpx.Response) -> dict[str, Any]:
    """Wait for the end of the training of a model."""
    assert made.status_code in (200, 201), made.text
    id = made.json()["training"]["id"]

    def look() -> dict[str, Any] | None:
        found = server.http.get(f"jobs/{id}", params={"wait": 20}).json()
        return found if found["state"] not in ("queued", "running") else None

    job: dict[str, Any] = server.wait_for(look, "the training did not end", 120)
    assert job["state"] == "succeeded", job["error"]
    return job


@pytest.fixture(scope="module")
def houses(server: RunningServer) -> str:
    """The name of a trained model."""
    data = upload(server, HOUSES)
    about = server.http.post(
        "templates/look", json={"template": "tabular", "data": data, "target": "price"}, timeout=120
    )
    assert about.status_code == 200, about.text
    assert about.json()["reading"]["decimal"] == ","
    assert about.json()["question"] == "regression"
    made = server.http.post(
        "models",
        json={
            "name": "houses",
            "template": "tabular",
            "data": data,
            "target": "price",
            "algorithm": "linear",
            "folds": 2,
        },
        timeout=120,
    )
    assert made.status_code == 201, made.text
    trained(server, made)
    return "houses"


ROW = {"area": 70.5, "rooms": 1, "district": "south"}


def predict(server: RunningServer, name: str, *rows: dict[str, Any], **more: Any) -> httpx.Response:
    return server.http.post(f"models/{name}/predict", json={"data": list(rows), **more})


def test_a_model_made_from_a_file_predicts(server: RunningServer, houses: str) -> None:
    answer = predict(server, houses, ROW, {**ROW, "area": "80,5"})
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["predictions"]
    assert first == pytest.approx(110_000, rel=0.05)
    assert second > first
    assert answer.json()["model"] == {"name": "houses", "version": 1}
    warned = predict(server, houses, {**ROW, "district": "moon"}).json()
    assert "new value 'moon'" in warned["warnings"][0]["message"]
    refused = predict(server, houses, {"rooms": 1})
    assert refused.status_code == 422
    assert "lacks the columns 'area', 'district'" in refused.json()["error"]["message"]
    version = server.http.get(f"models/{houses}/versions/1").json()
    assert {file["path"] for file in version["files"]} >= {"report.json", "model.skops"}


def test_an_exposed_model_is_a_service_and_follows_its_versions(
    server: RunningServer, houses: str
) -> None:
    shown = server.http.patch(f"models/{houses}", json={"exposed": True}, timeout=120)
    assert shown.status_code == 200, shown.text
    assert shown.json()["exposed"]
    answer = server.call(houses, **ROW)
    assert answer.status_code == 200, answer.text
    assert answer.json()["prediction"] == pytest.approx(110_000, rel=0.05)
    assert server.call(houses, **{**ROW, "district": "moon"}).status_code == 422
    spec = server.http.get(f"services/{houses}").json()
    assert spec["input"]["properties"]["district"]["enum"] == ["north", "south"]

    made = server.http.patch(f"models/{houses}", json={"algorithm": "baseline"}, timeout=120)
    trained(server, made)
    baseline = predict(server, houses, ROW).json()
    assert baseline["model"]["version"] == 2
    median = baseline["predictions"][0]
    server.wait_for(
        lambda: server.call(houses, **ROW).json().get("prediction") == median,
        "the service did not follow the new version",
    )
    back = server.http.put(f"models/{houses}/aliases/production", json={"version": 1})
    assert back.status_code == 200, back.text
    assert predict(server, houses, ROW).json()["model"]["version"] == 1
    server.wait_for(
        lambda: server.call(houses, **ROW).json().get("prediction") != median,
        "the service did not return to the version in production",
    )
    assert len(workers(server)) <= 3, "one deployment serves everything, next to the job's kernel"
    gone = server.http.patch(f"models/{houses}", json={"exposed": False})
    assert not gone.json()["exposed"]
    assert server.call(houses, **ROW).status_code == 404


def test_the_python_client_makes_and_removes_models(
    server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("data") / "houses.csv"
    file.write_text(HOUSES)
    with ml.connect(server.url, token=server.token) as client:
        assert client.templates.names() == ["tabular", "forecast", "images"]
        made = client.templates.create("again", file, target="price", algorithm="linear", folds=2)
        client.jobs[made["training"]["id"]].result()
        assert len(client.templates.predict("again", [ROW])["predictions"]) == 1
        target = ("--url", server.url, "--token", server.token)
        told = CliRunner().invoke(app, ["models", "predict", "again", json.dumps(ROW), *target])
        assert float(told.stdout) == pytest.approx(110_000, rel=0.05)
        seen = CliRunner().invoke(app, ["models", "look", str(file), "--target", "price", *target])
        assert "area" in seen.stdout, seen.output
        client.models.delete("again")
        assert predict(server, "again", ROW).status_code == 404


def test_what_cannot_be_made_is_refused_with_a_sentence(server: RunningServer) -> None:
    def message(answer: httpx.Response) -> str:
        assert answer.status_code >= 400
        return str(answer.json()["error"]["message"])

    large = {"name": "all.csv", "size": 2 * 2**30}
    assert "exceeds the limit of" in message(
        server.http.post("uploads?template=tabular", json=large)
    )
    wrong = {"name": "notes.docx", "size": 10}
    assert ".csv" in message(server.http.post("uploads?template=tabular", json=wrong))
    assert "Use one of tabular" in message(server.http.post("uploads?template=magic", json=wrong))
    data = upload(server, HOUSES)
    for name in ("Houses", "template_x", "jobs"):
        body = {"name": name, "template": "tabular", "data": data}
        assert "name" in message(server.http.post("models", json=body))
    body = {"name": "x", "template": "tabular", "data": "nothing"}
    assert "upload" in message(server.http.post("models", json=body))
    body = {"name": "empty", "template": "tabular"}
    assert server.http.post("models", json=body, timeout=120).status_code == 201
    assert "not trained" in message(predict(server, "empty", ROW))


def _papers_client(ip: str, data: dict[str, Any], ask: list[list[float]]) -> list[float]:
    """Follow the sequence of the paper's script: train, poll the linked status, predict."""
    with httpx.Client(timeout=60) as http:
        page = http.post(ip + "train", json=data).text
        status = re.search(r'href="(http.*?")', page)[1]  # type: ignore[index] # with the quote
        while http.get(status).text != "true":
            time.sleep(0.2)
        answer = http.post(ip + "predict", json={"x": ask})
        answer.raise_for_status()
    found: list[float] = answer.json()
    return found


LINE = {"x": [[n] for n in range(8)], "y": list(range(8))}


def test_the_client_of_the_mlaas_paper_works_with_another_address(server: RunningServer) -> None:
    made = server.http.post("models", json={"name": "line", "template": "tabular"}, timeout=120)
    assert made.status_code == 201, made.text
    public = f"{server.url}easymlnb/mlaas/line/"
    assert httpx.post(public + "train", json=LINE).status_code == 404
    opened = server.http.patch("models/line", json={"public_training": True})
    assert opened.json()["public_training"]
    # Solvers of older releases of scikit-learn stop a little earlier.
    assert _papers_client(public, LINE, [[36], [54]]) == pytest.approx([36.0, 54.0], abs=1e-3)

    key = server.http.post("keys", json={"services": ["*"], "scopes": ["jobs"]}).json()["key"]
    private = f"{server.url}easymlnb/k/{key}/line/"
    constant = {"x": [[n] for n in range(8)], "y": [1] * 8}
    with pytest.raises(httpx.HTTPStatusError, match="409") as failed:
        _papers_client(private, constant, [[36]])
    assert "only one value" in failed.value.response.json()["error"]["message"]
    assert key not in server.log
    assert httpx.post(f"{server.url}easymlnb/k/wrong/line/train", json=LINE).status_code == 401
