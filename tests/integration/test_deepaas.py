"""A DEEPaaS module on a real server, called as clients of DEEPaaS and of ai4os-demo-app do."""

import base64
import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import deepaas_module
from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.server import RunningServer

pytestmark = pytest.mark.timeout(300)

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 20
FILES = {"demo-image": ("cell.png", PNG, "image/png")}
MODEL = "services/deep_demo/deepaas/v2/models/deep-demo"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deepaas_module.install(tmp_path_factory.mktemp("site"))


def cells(folder: Path, *calls: str) -> list[str]:
    """Return the cells of a notebook that serves modules of a folder."""
    head = f"import sys\nsys.path.insert(0, {str(folder)!r})\nfrom easymlnb.compat import deepaas"
    return [head, *calls]


@pytest.fixture(scope="module")
def http(session_server: RunningServer, folder: Path) -> Iterator[httpx.Client]:
    """A client of a server with two published modules."""
    served = (
        'demo = deepaas.serve("deep-demo")',
        'deepaas.serve("deep_small")',
        'deepaas.serve("deep-demo", name="deep_quiet", train=False)',
    )
    notebook = make_notebook(*cells(folder, *served))
    found = session_server.publish(notebook, "deepaas.ipynb")
    assert found["state"] == "ready", found
    names = [one["name"] for one in found["services"]]
    assert sorted(names) == ["deep_demo", "deep_demo_train", "deep_quiet", "deep_small"]
    yield session_server.http
    for name in names:
        session_server.http.delete(f"services/{name}")


def text(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the text of an error."""
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    return answer.status_code, answer.text


def test_documents(http: httpx.Client) -> None:
    root = f"{http.base_url.path}services/deep_demo/deepaas"
    (version,) = http.get("services/deep_demo/deepaas/").json()["versions"]
    assert version == http.get("services/deep_demo/deepaas/v2/").json()
    assert (version["id"], version["links"][0]["href"]) == ("v2", f"{root}/v2/")
    (model,) = http.get("services/deep_demo/deepaas/v2/models/").json()["models"]
    assert model == http.get(f"{MODEL}/").json()
    assert model["links"] == [{"rel": "self", "href": f"{root}/v2/models/deep-demo"}]
    assert (model["id"], model["version"]) == ("deep-demo", "0.3.1")
    swagger = http.get("services/deep_demo/deepaas/swagger.json").json()
    assert swagger["basePath"] == root
    post = swagger["paths"]["/v2/models/deep-demo/predict/"]["post"]
    assert post["produces"] == ["application/json", "application/zip", "image/*", "text/plain"]
    arguments = {one["name"]: one for one in post["parameters"]}
    assert arguments["demo-image"] == {
        "name": "demo-image",
        "in": "formData",
        "type": "file",
        "description": "An image to echo",
        "required": True,
    }
    assert arguments["demo-int-range"]["maximum"] == 100
    tiny = http.get("services/deep_small/deepaas/swagger.json").json()
    answer = tiny["definitions"]["ModelPredictionResponse"]["properties"]
    assert answer["labels"]["items"]["properties"]["probability"] == {"type": "number"}


def test_paths_and_methods(http: httpx.Client) -> None:
    for at in ("", "/v2", "/v2/models", "/v2/models/deep-demo", "/v2/models/deep-demo/train"):
        answer = http.get(f"services/deep_demo/deepaas{at}?a=b")
        assert answer.status_code == 308 and answer.headers["Location"].endswith(f"{at}/?a=b")
    for method in ("GET", "PUT", "POST", "DELETE"):
        for end in ("", "/", "/predict", "/train/"):
            at = f"services/deep_demo/deepaas/v2/models/none{end}"
            assert text(http.request(method, at)) == (404, "404: Not Found")
    for method in ("PUT", "POST", "DELETE"):
        answer = http.request(method, "services/deep_demo/deepaas/v2/models/")
        assert text(answer) == (405, "405: Method Not Allowed")
        assert answer.headers["Allow"] == "GET, OPTIONS"
    assert text(http.get(f"{MODEL}/train/none"))[0] == 404
    assert text(http.get("services/none/deepaas/"))[0] == 404
    answer = http.post("services/deep_small/deepaas/v2/models/deep_small/train/")
    assert text(answer)[0] == 501 and "Not implemented by underlying model" in answer.text
    quiet = http.post("services/deep_quiet/deepaas/v2/models/deep-demo/train/")
    assert text(quiet) == (402, "402: Payment Required")
    anonymous = httpx.post(f"{http.base_url}{MODEL}/predict/")
    assert text(anonymous)[0] == 401 and "WWW-Authenticate" in anonymous.headers


def test_predictions(http: httpx.Client) -> None:
    sent = {"demo-int": "7", "demo-list-of-floats": ["1", "2"]}
    answer = http.post(f"{MODEL}/predict", params=sent, files=FILES, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Easymlnb-Version"] == "1"
    values = answer.json()["predictions"]
    assert (values["demo-int"], values["demo-list-of-floats"]) == (7, [1.0, 2.0])
    assert base64.b64decode(values["demo-image"]) == PNG

    zipped = http.post(f"{MODEL}/predict/", files=FILES, headers={"Accept": "application/zip"})
    assert zipped.headers["Content-Type"] == "application/zip"
    assert zipfile.ZipFile(io.BytesIO(zipped.content)).namelist() == ["args.json"]
    # Over 1 MB, bodies and results are files between the server and its workers.
    large = PNG + b"\0" * 3_000_000
    picture = http.post(
        f"{MODEL}/predict/",
        params={"accept": "image/*"},
        files={"demo-image": ("a.png", large, "image/png")},
    )
    assert picture.headers["Content-Type"] == "image/png" and picture.content == large[::-1]

    plain = http.post(f"{MODEL}/predict/", data={"demo-image": "text", "accept": "text/plain"})
    assert plain.text == "text"
    at = "services/deep_small/deepaas/v2/models/deep_small/predict/"
    assert http.post(at, json={"x": 0.5}).json()["labels"] == [{"label": "x", "probability": 0.5}]


def test_errors_of_predictions(http: httpx.Client) -> None:
    answer = http.post(f"{MODEL}/predict/", params={"demo-int-range": 0})
    assert answer.status_code == 422
    assert answer.json() == {
        "demo-image": ["Missing data for required field."],
        "demo-int-range": ["Must be greater than or equal to 1 and less than or equal to 100."],
    }
    headers = {"Content-Type": "application/json"}
    broken = http.post(f"{MODEL}/predict/", content=b"{", headers=headers)
    assert (broken.status_code, broken.json()) == (400, {"json": ["Invalid JSON body."]})
    for given, expected in (
        ("status", (400, "400: Choose another text.")),
        ("todo", (501, "501: Model 'deep-demo' does not implement this functionality")),
    ):
        failed = http.post(f"{MODEL}/predict/", params={"demo-str": given}, files=FILES)
        assert text(failed) == expected
    failed = http.post(f"{MODEL}/predict/", params={"demo-str": "bug"}, files=FILES)
    assert text(failed)[0] == 500 and "secret" not in failed.text
    assert failed.headers["X-Easymlnb-Version"] == "1"


def train(http: httpx.Client, **values: Any) -> dict[str, Any]:
    answer = http.post(f"{MODEL}/train/", params=values)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def until(http: httpx.Client, uuid: str, status: str) -> dict[str, Any]:
    """Wait until a training has a status."""
    while True:
        found: dict[str, Any] = http.get(f"{MODEL}/train/{uuid}").json()
        if found["status"] == status:
            return found
        assert found["status"] == "running", found
        time.sleep(0.05)


def test_trainings(http: httpx.Client, tmp_path: Path) -> None:
    assert http.get(f"{MODEL}/train/").json() == []
    gate = tmp_path / "go"
    answer = http.post(
        f"{MODEL}/train/",
        params={"epoch_num": "3", "gate": str(gate)},
        files={"data": ("d.csv", b"1,2", "text/csv")},
    )
    assert answer.status_code == 200, answer.text
    begun = answer.json()
    assert begun["status"] == "running"
    expected = {"epoch_num": 3, "gate": str(gate), "data": ["data", "text/csv", "d.csv"]}
    assert begun["args"] == expected
    assert http.get(f"{MODEL}/train/").json() == [begun]
    gate.touch()
    done = until(http, begun["uuid"], "done")
    assert done["result"]["output"] == {"status": "done", "epochs": 3, "size": 3}
    assert done["result"]["finish_date"] > done["date"] == begun["date"]

    refused = http.post(f"{MODEL}/train/", params={"epoch_num": -1})
    assert refused.json() == {"epoch_num": ["Must be greater than or equal to 0."]}
    failing = train(http, epoch_num=100)
    assert until(http, failing["uuid"], "error")["message"] == "Too many epochs."
    waiting = train(http, gate=str(tmp_path / "never"))
    listed = [one["uuid"] for one in http.get(f"{MODEL}/train/").json()]
    assert listed == [begun["uuid"], failing["uuid"], waiting["uuid"]]
    cancelled = http.delete(f"{MODEL}/train/{waiting['uuid']}")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert http.delete(f"{MODEL}/train/{begun['uuid']}").json()["status"] == "done"
    for uuid in (waiting["uuid"], begun["uuid"]):
        assert text(http.get(f"{MODEL}/train/{uuid}")) == (404, "404: Not Found")
    assert [one["uuid"] for one in http.get(f"{MODEL}/train/").json()] == [failing["uuid"]]


def test_live_in_a_notebook_and_by_our_own_route(http: httpx.Client, folder: Path) -> None:
    kernel = NotebookKernel(http, "deepaas_live.ipynb")
    try:
        for cell in cells(folder, 'demo = deepaas.serve("deep-demo", name="deep_live")\ndemo'):
            ran = kernel.run(cell)
            assert not ran.error, ran.error
        model = "services/deep_live/deepaas/v2/models/deep-demo"
        answer = http.post(f"{model}/predict/", files=FILES)
        assert answer.json()["predictions"]["demo-int"] == 1, answer.text
        unpublished = http.post(f"{model}/train/")
        assert text(unpublished)[0] == 400 and "is not published" in unpublished.text
        own = http.post(
            "services/deep_live/call",
            json={"demo_image": base64.b64encode(PNG).decode(), "demo_int": 4},
        )
        assert own.json()["demo-int"] == 4, own.text
        shown = http.post("services/deep_small/view", json={"x": 1.0}, timeout=30).json()
        assert [part["kind"] for part in shown["parts"]] == ["json", "image"], json.dumps(shown)
    finally:
        kernel.close()
