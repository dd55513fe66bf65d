"""Models on a real server: save, load, move an alias under calls, and what is refused."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor

import easymlnb as ml
from easymlnb.contract.errors import (
    AliasChanged,
    ModelDamaged,
    ModelInUse,
    ModelNotFound,
    ModelNotTrusted,
    ModelVersionNotFound,
    StorageDamaged,
)
from easymlnb.model_store import source
from easymlnb.model_store.saving import Description, archive_of
from support.invariants import workers
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

pytestmark = pytest.mark.timeout(300)

SERVICES = """
from collections.abc import Iterator

import easymlnb as ml

level = ml.model("level@production")
spare = ml.model("level", version=1)

@ml.service(examples=[{"x": 1.0}], workers=2)
def predict(x: float) -> list[float]:
    first = float(level.predict([[x]])[0])
    return [first, float(level.predict([[x]])[0])]

@ml.service
def pinned(x: float) -> float:
    return float(spare.predict([[x]])[0])

@ml.service
def plain(x: float) -> float:
    return x

@ml.service
def drift(n: int) -> Iterator[float]:
    for step in range(n):
        yield float(level.predict([[step]])[0])

@ml.service
def total(data: ml.Table, column: str = "a") -> float:
    return float(data[column].sum())

@ml.service
def learn(value: float) -> int:
    from sklearn.dummy import DummyRegressor

    fitted = DummyRegressor(strategy="constant", constant=value).fit([[0.0]], [value])
    return ml.registry.save(fitted, "learned", metrics={"value": value})["version"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        with running_server(folder) as made:
            patch.setenv("EASYMLNB_URL", made.url)
            patch.setenv("EASYMLNB_TOKEN", made.token)
            source.close()
            for value in (1.0, 2.0, 3.0):
                ml.registry.save(constant(value), "level", metrics={"value": value})
            ml.registry.alias("level", "production", 1)
            made.publish(make_notebook(SERVICES))
            yield made
            source.close()


def constant(value: float) -> DummyRegressor:
    return DummyRegressor(strategy="constant", constant=value).fit([[0.0]], [value])


def model_of(response: httpx.Response) -> str:
    return response.headers.get("X-Easymlnb-Model", "")


def moved(server: RunningServer, version: int) -> None:
    """Wait until both workers serve a version."""

    def done() -> bool:
        serving = ml.registry.get("level")["serving"]
        mine = [one for one in serving if one["ref"] == "production"]
        return len(mine) == 2 and all(one["version"] == version for one in mine)

    server.wait_for(done, f"the workers do not serve version {version}")


def test_a_version_comes_back_as_it_was_saved(server: RunningServer) -> None:
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    forest = RandomForestRegressor(5, random_state=0).fit(rows, rows["a"])
    saved = ml.registry.save(
        forest, "forest", metrics={"mae": 0.5}, params={"trees": 5}, example=rows,
        note="first", alias="best", curves=[("loss", 1, 0.5)], tags={"kind": "test"},
    )  # fmt: skip
    assert (saved["version"], saved["aliases"], saved["format"]) == (1, ["best"], "skops")
    assert [one["name"] for one in saved["signature"]["inputs"]] == ["a", "b"]
    for name in ("forest", "forest@best", "forest@1", "models:/forest/1", "models:/forest@best"):
        loaded = ml.model(name)
        assert (loaded.model_name, loaded.model_version) == ("forest", 1)
        assert np.allclose(loaded.predict(rows), forest.predict(rows))
    assert isinstance(loaded, RandomForestRegressor)
    with pytest.raises(ModelVersionNotFound, match="Versions: 1; aliases: best"):
        ml.model("forest", version=9)
    with pytest.raises(ModelNotFound, match="'absent'"):
        ml.model("absent")
    ml.registry.save(forest, "forest", params={"trees": 9})
    compared = ml.registry.compare("forest", [1, 2])
    assert compared["params"][0] == {"name": "trees", "values": [5, 9], "same": False}
    assert compared["metrics"][0]["values"] == [0.5, None]
    assert {"forest", "level"} <= {one["name"] for one in ml.registry.list()}


def test_the_alias_moves_between_two_calls(server: RunningServer) -> None:
    assert model_of(server.call("predict", x=1.0)) == "level=1"
    assert model_of(server.call("pinned", x=1.0)) == "level=1"
    assert model_of(server.call("plain", x=1.0)) == ""
    answers: list[httpx.Response] = []
    stop = threading.Event()

    def call() -> None:
        with httpx.Client(base_url=server.http.base_url, headers=server.http.headers) as client:
            while not stop.is_set():
                answers.append(client.post("services/predict/call", json={"x": 1.0}))

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        server.wait_for(lambda: len(answers) >= 3, "no call was answered")
        for number in range(20):
            ml.registry.alias("level", "production", number % 3 + 1)
        moved(server, 2)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    assert {one.status_code for one in answers} == {200}
    for one in answers:
        first, second = one.json()
        assert first == second, "a call has one version"
        assert model_of(one) == f"level={first:.0f}"
    assert {model_of(one) for one in answers} >= {"level=1", "level=2"}
    assert model_of(server.call("pinned", x=1.0)) == "level=1"
    entries = server.http.get("services/predict/log").json()["entries"]
    assert entries[-1]["models"] == "level=2"


def test_streams_name_their_models(server: RunningServer) -> None:
    ml.registry.alias("level", "production", 2)
    moved(server, 2)
    lines = server.call("drift", n=3)
    assert (lines.text, model_of(lines)) == ("2.0\n2.0\n2.0\n", "level=2")
    events = server.http.post(
        "services/drift/call", json={"n": 2}, headers={"Accept": "text/event-stream"}
    )
    *_, model, result = events.text.strip().split("\n\n")
    assert model == 'event: model\ndata: "level=2"' and result.startswith("event: result")


def test_services_answer_mlflows_protocol(server: RunningServer) -> None:
    def invoke(name: str, **sent: Any) -> httpx.Response:
        return server.http.post(f"services/{name}/invocations", **sent)

    rows = {"dataframe_split": {"columns": ["x", "note"], "data": [[1, "a"], [2, "b"]]}}
    answer = invoke("predict", json=rows)
    assert answer.json() == {"predictions": [[2.0, 2.0], [2.0, 2.0]]}, answer.text
    assert (model_of(answer), answer.headers["X-Easymlnb-Version"]) == ("level=2", "1")
    entries = server.http.get("services/predict/log").json()["entries"]
    assert entries[-1]["models"] == "level=2"
    table = pd.DataFrame({"a": np.arange(300_000), "b": 1.0})
    csv = {"Content-Type": "text/csv; charset=utf-8"}
    large = invoke("total", content=table.to_csv(index=False), headers=csv)
    assert large.json() == {"predictions": float(table["a"].sum())}, large.text
    parquet = {"Content-Type": "application/vnd.apache.parquet"}
    small = invoke("total", content=table.head(3).to_parquet(), headers=parquet)
    assert small.json() == {"predictions": 3.0}
    params = {"instances": [{"a": 1, "b": 2}], "params": {"column": "b"}}
    assert invoke("total", json=params).json() == {"predictions": 2.0}
    for path, text in (("ping", "\n"), ("health", "\n"), ("version", "3.17.2")):
        found = server.http.get(f"services/predict/{path}")
        assert (found.status_code, found.text) == (200, text)

    bad: list[tuple[httpx.Response, int, str]] = [
        (invoke("predict", content=b"{"), 400, "BAD_REQUEST"),
        (invoke("predict", json={"inputs": {"x": "y"}}), 400, "INVALID_PARAMETER_VALUE"),
        (invoke("total", json={"instances": [1]}), 400, "BAD_REQUEST"),
        (invoke("total", json=rows), 500, "INTERNAL_ERROR"),
        (invoke("drift", json={"instances": [1]}), 400, "BAD_REQUEST"),
        (invoke("predict", content=b"x", headers={"Content-Type": "a/b"}), 415, "BAD_REQUEST"),
        (invoke("absent", json=rows), 404, "RESOURCE_DOES_NOT_EXIST"),
        (invoke("predict", json=rows, headers={"X-Timeout": "x"}), 400, "BAD_REQUEST"),
        (server.http.get("services/predict/invocations"), 405, "ENDPOINT_NOT_FOUND"),
        (server.http.get("services/absent/ping"), 404, "RESOURCE_DOES_NOT_EXIST"),
        (httpx.get(f"{server.http.base_url}services/predict/ping"), 401, "UNAUTHENTICATED"),
    ]
    for response, status, code in bad:
        assert response.status_code == status, response.text
        assert response.json().keys() == {"error_code", "message"}
        assert response.json()["error_code"] == code, response.text


def test_a_broken_version_is_reported_and_never_serves(server: RunningServer) -> None:
    ml.registry.alias("level", "production", 2)
    moved(server, 2)
    # Its file is no model, and the other one does not fit the service.
    broken = ml.registry.save(folder_with(server.folder / "junk"), "level")["version"]
    ml.registry.alias("level", "production", broken)

    def reported() -> bool:
        found = [one for one in ml.registry.get("level")["serving"] if one["wanted"] == broken]
        return len(found) == 2 and all(one["error"] and one["version"] == 2 for one in found)

    server.wait_for(reported, "the workers do not report the broken version")
    assert "Example 1 of 'predict' failed" in ml.registry.get("level")["serving"][0]["error"]
    answer = server.call("predict", x=1.0)
    assert (answer.json(), model_of(answer)) == ([2.0, 2.0], "level=2")
    ml.registry.alias("level", "production", 3)
    moved(server, 3)


def folder_with(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    (path / "a.txt").write_text("no model")
    return path


def test_what_services_use_is_not_deleted(server: RunningServer) -> None:
    models = source.client().models
    with pytest.raises(ModelInUse, match="predict version 1"):
        models.delete("level")
    with pytest.raises(ModelInUse, match="pinned version 1"):
        models.delete_version("level", 1)
    with pytest.raises(ModelInUse, match="predict version 1"):
        models.remove_alias("level", "production")
    with pytest.raises(AliasChanged) as raised:
        models.alias("level", "production", 1, expected=77)
    assert raised.value.details["version"] is not None
    uses = ml.registry.get("level")["uses"]
    assert {(one["service"], one["ref"]) for one in uses} >= {("predict", "production")}


def test_a_service_saves_models_in_the_name_of_its_owner(server: RunningServer) -> None:
    assert server.call("learn", value=5.0).json() == 1
    assert server.call("learn", value=6.0).json() == 2
    assert ml.registry.version("learned", 1)["metrics"] == {"value": 5.0}
    assert ml.model("learned").predict([[0.0]])[0] == 6.0


def test_a_pickle_opens_only_after_its_owner_allows_it(server: RunningServer) -> None:
    mine = ml.registry.save({"a": 1}, "bag", format="pickle")
    assert mine["runs_code"] and mine["trusted"] and mine["own"]
    assert ml.model("bag").unwrap() == {"a": 1}
    models = source.client().models
    with archive_of({"a": 2}, Description(origin="imported"), format="pickle") as archive:
        other = models.add_version("bag", archive)
    assert not other["own"] and other["origin"] == "imported"
    with pytest.raises(ModelNotTrusted, match="easymlnb models trust"):
        ml.model("bag", version=other["version"])
    models.trust("bag", other["version"])
    assert ml.model("bag", version=other["version"]).unwrap() == {"a": 2}


def test_a_damaged_file_is_never_loaded(server: RunningServer) -> None:
    saved = ml.registry.save(constant(9.0), "torn")
    name = saved["files"][0]["sha256"]
    (stored,) = server.folder.rglob(f"{name[:2]}/{name}")
    stored.chmod(0o600)
    stored.write_bytes(bytes(stored.stat().st_size))
    with pytest.raises(ModelDamaged, match="SHA-256"):
        ml.model("torn")
    stored.write_bytes(b"cut off")
    with pytest.raises(StorageDamaged):
        ml.model("torn")


def test_requests_of_any_kind_get_a_sentence(server: RunningServer) -> None:
    http = server.http
    bad: list[tuple[str, str, dict[str, Any], int]] = [
        ("POST", "models", {"json": {"name": "no name"}}, 404),
        ("POST", "models", {"json": {"name": "page"}}, 400),
        ("POST", "models", {"json": {"name": "level"}}, 409),
        ("POST", "models", {"content": b"{"}, 400),
        ("POST", "models/x/versions", {"content": b"{}"}, 415),
        ("POST", "models/x/versions",
         {"content": b"no", "headers": {"Content-Type": "application/zip"}}, 400),
        ("PUT", "models/level/aliases/latest", {"json": {"version": 1}}, 400),
        ("PUT", "models/level/aliases/v1", {"json": {"version": 1}}, 400),
        ("PUT", "models/level/aliases/a", {"json": {"version": 0}}, 400),
        ("PUT", "models/level/aliases/a", {"json": {"version": 99}}, 404),
        ("DELETE", "models/level/aliases/absent", {}, 404),
        ("GET", "models/level/compare?versions=1", {}, 400),
        ("GET", "models/level/compare?versions=1,77", {}, 404),
        ("GET", "models/level/versions/1/files/absent", {}, 404),
        ("PATCH", "models/level", {"json": {"access": {"users": ["bob"]}}}, 400),
        ("PATCH", "models/level/versions/1", {"json": {"metrics": {}}}, 400),
        ("GET", "models?limit=x", {}, 400),
    ]  # fmt: skip
    for method, path, sent, status in bad:
        answer = http.request(method, path, **sent)
        assert answer.status_code == status, (method, path, answer.text)
        assert answer.json()["error"]["message"].endswith((".", ")", '"', "}")), answer.text
    assert http.patch("models/level", json={"title": "Level"}).json()["title"] == "Level"
    assert http.get("models?search=LEVEL").json()["total"] == 1


def test_workers_follow_the_alias_of_the_next_server(server: RunningServer) -> None:
    ml.registry.alias("level", "production", 3)
    moved(server, 3)
    before = {*workers(server)}
    server.stop(signal.SIGKILL)
    server.start()
    moved(server, 3)
    ml.registry.alias("level", "production", 1)
    moved(server, 1)
    assert model_of(server.call("predict", x=1.0)) == "level=1"
    number = ml.registry.get("learned")["latest"]
    assert server.call("learn", value=7.0).json() == number + 1
    assert {*workers(server)} == before


def test_jobs_and_their_results_name_their_models(server: RunningServer) -> None:
    job = server.http.post("services/predict/jobs", json={"x": 1.0}).json()
    ended = server.http.get(f"jobs/{job['id']}", params={"wait": 60}).json()
    assert (ended["state"], ended["models"]) == ("succeeded", "level=1")
    assert model_of(server.http.get(f"jobs/{job['id']}/result")) == "level=1"
