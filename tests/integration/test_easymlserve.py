"""Examples in EasyMLServe's style, unchanged: live and published, for their own clients."""

import base64
import io
import shutil
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import nbformat
import numpy as np
import PIL.Image
import pytest

from easymlnb.publishing.bundle import build_bundle
from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.server import RunningServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).parents[1] / "examples" / "easymlserve"
NAMES = ("histogram", "forecast", "segmentation", "faces")
HAS_OPENCV = find_spec("cv2") is not None

CELL = """
from easymlnb.compat import easymlserve

easymlserve.run("histogram/service.py")
easymlserve.run("histogram/ui.py")
easymlserve.run("forecast/service.py")
easymlserve.run("forecast/ui.py")
easymlserve.run("segmentation/service.py")
easymlserve.run("segmentation/ui.py")
"""
FACES = """
easymlserve.run("faces/service.py")
easymlserve.run("faces/ui.py")
"""
PLAIN = """
import time
import easymlnb as ml

@ml.service
def eml_count(to: int, step: int = 1, words: list[str] = []):
    for number in range(0, to, step):
        yield number
    yield from words

@ml.service
def eml_wait(seconds: float) -> float:
    time.sleep(seconds)
    return seconds

from easymlnb.compat.easymlserve import EasyMLServer, EasyMLService
from easymlnb.compat.easymlserve.ui import GradioEasyMLUI
from easymlnb.compat.easymlserve.ui.type import Number, Text

class CellService(EasyMLService):
    def process(self, n: int) -> dict[str, int]:
        return {"twice": 2 * n}

class CellUI(GradioEasyMLUI):
    def prepare_request(self, n):
        return {"n": n}

    def process_response(self, request, response):
        return response["twice"]

server = EasyMLServer(CellService())
server.deploy()
CellUI(name="Twice", input_schema={"n": Number()}, output_schema=[Number(name="Twice")]).run()
"""
RGB = np.zeros((4, 6, 3), np.uint8) + np.array([0, 100, 200], np.uint8)


def encoded(pixels: Any) -> dict[str, Any]:
    """Return an image as EasyMLServe's interfaces send one."""
    text = base64.b64encode(np.ascontiguousarray(pixels)).decode()
    return {"dtype": str(pixels.dtype), "shape": list(pixels.shape), "image": text}


def png(pixels: Any) -> str:
    target = io.BytesIO()
    PIL.Image.fromarray(pixels).save(target, "PNG")
    return base64.b64encode(target.getvalue()).decode()


def hours(count: int) -> dict[str, list[Any]]:
    times = [f"2026-01-{1 + at // 24:02} {at % 24:02}:00:00" for at in range(count)]
    return {"time": times, "energy": [float(at) for at in range(count)]}


@pytest.fixture(scope="module")
def work(session_server: RunningServer) -> Iterator[RunningServer]:
    """A notebook that runs the files of all examples, in its kernel and published."""
    folder = session_server.root / "easymlserve"
    shutil.copytree(EXAMPLES, folder)
    cells = [CELL, PLAIN]
    if HAS_OPENCV:
        (folder / "faces" / "model").mkdir()
        cascade = files("cv2") / "data" / "haarcascade_frontalface_default.xml"
        shutil.copy(str(cascade), folder / "faces" / "model" / "model.xml")
        cells.append(FACES)
    nbformat.write(make_notebook(*cells), folder / "work.ipynb")
    kernel = NotebookKernel(session_server.http, "easymlserve/work.ipynb")
    try:
        shown = []
        for cell in cells:
            ran = kernel.run(cell)
            assert not ran.error, ran.error
            shown += ran.displays
        assert len(shown) == (12 if HAS_OPENCV else 10)  # a form for each
        yield session_server
    finally:
        kernel.close()
        for name in (*NAMES, "cell", "twice", "eml_count", "eml_wait"):
            for one in (name, f"{name}_ui"):
                session_server.http.delete(f"services/{one}")


def process(server: RunningServer, name: str, **request: Any) -> Any:
    """Call a service as ``BaseEasyMLUI.call_process_api`` does."""
    answer = server.http.post(f"services/{name}/process", json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def check_services(server: RunningServer) -> None:
    found = process(server, "histogram", **encoded(RGB), bins="10", unknown=1)
    assert list(found) == ["shape", "r", "g", "b"]
    assert found["shape"] == [4, 6, 3]
    assert [len(found["g"][key]) for key in ("counts", "rel_counts", "bins")] == [10, 10, 11]

    found = process(server, "forecast", **hours(72), models=["day", "mean"])
    day, mean = found["forecasts"]
    assert (day["model"], len(day["energy"]), day["time"][0]) == ("day", 48, "2026-01-03 00:00:00")
    assert mean["energy"][0] == (24 + 0) / 2

    cells = np.zeros((700, 700), np.uint8)  # the answer is over 1 MB, and so a file
    cells[1:3, 1:3] = cells[4:, 4:] = 9
    found = process(server, "segmentation", **encoded(cells))
    labels = np.frombuffer(base64.b64decode(found["image"]), found["dtype"])
    assert labels.max() == 2


def check_errors(server: RunningServer) -> None:
    http = server.http
    unknown = http.post("services/forecast/process", json={**hours(24), "models": ["SVR"]})
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "Unknown model"})
    own = http.post("services/forecast/call", json={**hours(24), "models": ["SVR"]})
    assert (own.status_code, own.json()["error"]["code"]) == (422, "caller_error")
    assert own.json()["error"]["message"] == "Unknown model"
    wrong = http.post("services/histogram/process", json={**encoded(RGB), "bins": 4.5})
    assert wrong.status_code == 422
    (entry,) = wrong.json()["detail"]
    assert (entry["loc"], entry["type"]) == (["body", "bins"], "int_from_float")
    strict = http.post("services/histogram/call", json={**encoded(RGB), "bins": "10"})
    assert (strict.status_code, strict.json()["error"]["code"]) == (422, "invalid_input")
    # What fails in the service is 500, with nothing of the error.
    failed = http.post("services/histogram/process", json={**encoded(RGB), "dtype": "x", "bins": 9})
    assert failed.status_code == 500
    assert "TypeError" in failed.json()["detail"]


def check_interfaces(server: RunningServer) -> None:
    """Call the interfaces as their forms do."""
    parts = view(server, "histogram_ui", image=png(RGB), bins=10)
    assert [(part["kind"], part["title"]) for part in parts] == [
        ("image", "Image Histogram"),
        ("file", "File"),
    ]
    assert parts[1]["name"] == "output.json"
    assert b"rel_counts" in base64.b64decode(parts[1]["data"])

    table = hours(48)
    rows = [f"{at},{energy}" for at, energy in zip(table["time"], table["energy"], strict=True)]
    csv = base64.b64encode("\n".join(["time,energy", *rows]).encode()).decode()
    parts = view(server, "forecast_ui", models=["day"], csv=csv)
    assert [(part["kind"], part["title"]) for part in parts] == [
        ("image", "Forecasts"),
        ("file", "CSVFile"),
    ]

    cells = np.zeros((6, 6), np.uint8)
    cells[1:3, 1:3] = 9
    parts = view(server, "segmentation_ui", image=png(cells))
    named = {part["title"]: part["data"] for part in parts}
    assert named["Number of Cells"] == 1
    assert named["Mean Cell Size [px**2]"] == 4.0
    refused = server.call("segmentation_ui", image=base64.b64encode(b"no image").decode())
    assert refused.json()["error"]["code"] == "call_failed"


def view(server: RunningServer, name: str, **values: Any) -> list[dict[str, Any]]:
    answer = server.http.post(f"services/{name}/view", json=values)
    assert answer.status_code == 200, answer.text
    parts: list[dict[str, Any]] = answer.json()["parts"]
    return parts


def check(server: RunningServer) -> None:
    check_services(server)
    check_errors(server)
    check_interfaces(server)


def test_live(work: RunningServer) -> None:
    assert work.http.get("services/histogram").json()["live"]
    check(work)


def test_requests_and_errors_of_fastapi(work: RunningServer) -> None:
    http = work.http

    def post(name: str, query: str = "", **sent: Any) -> Any:
        answer = http.post(f"services/{name}/process{query}", **sent)
        return answer.status_code, answer.json()

    assert post("cell", "?n=4") == (200, {"twice": 8})
    assert work.call("twice", n=4).json() == 8
    assert post("eml_count", "?to=9&words=a&words=b", json={"step": "4"}) == (
        200,
        [0, 4, 8, "a", "b"],
    )
    assert post("cell", content=b'{"n": 2}') == (200, {"twice": 4})  # no content type is JSON
    large = encoded(np.zeros((700, 700, 3), np.uint8))  # over 1 MB, and so a file
    status, found = post("histogram", "?bins=3", json=large)
    assert (status, found["r"]["counts"]) == (200, [0, 490_000, 0])
    status, found = post("cell")
    assert (status, found["detail"][0]["loc"]) == (422, ["body", "n"])
    for sent, kind in (
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, "json_invalid"),
        ({"data": {"n": "1"}}, "model_attributes_type"),
        ({"json": [1]}, "dict_type"),
        ({"files": {"n": b"1"}}, "model_attributes_type"),
    ):
        status, found = post("cell", **sent)
        assert (status, found["detail"][0]["type"]) == (422, kind)
    status, found = post("no_such")
    assert (status, list(found)) == (404, ["detail"])
    wrong = http.get("services/cell/process")
    assert (wrong.status_code, list(wrong.json()), wrong.headers["Allow"]) == (
        405,
        ["detail"],
        "POST, OPTIONS",
    )
    status, found = post("eml_wait", json={"seconds": 60}, headers={"X-Timeout": "0.2"})
    assert (status, "timeout" in found["detail"]) == (504, True)
    status, found = post("cell", json={"n": 1}, headers={"X-Timeout": "soon"})
    assert (status, "X-Timeout" in found["detail"]) == (400, True)
    nobody = httpx.post(f"{http.base_url}services/cell/process", json={"n": 1})
    assert (nobody.status_code, list(nobody.json())) == (401, ["detail"])


def test_published(work: RunningServer) -> None:
    notebook = work.root / "easymlserve" / "work.ipynb"
    bundle = build_bundle(notebook, include=["forecast/models"])
    files = set(bundle.manifest.files)
    assert {"histogram/api_schema.py", "forecast/ui.py", "segmentation/api_schema.py"} <= files
    assert not HAS_OPENCV or "faces/model/model.xml" in files
    assert not any("easymlserve" in note for note in bundle.notes), bundle.notes
    sent = work.http.post(
        "services", content=bundle.data, headers={"Content-Type": "application/zip"}
    )
    id = sent.json()["bundle"]
    found = work.wait_for(
        lambda: one if (one := work.http.get(f"bundles/{id}").json())["state"] != "starting" else 0,
        "the bundle did not settle",
        90,
    )
    assert found["state"] == "ready", found
    answer = work.http.post("services/histogram/process", json={**encoded(RGB), "bins": 10})
    assert answer.headers["X-Easymlnb-Version"] == "1"
    check(work)


@pytest.mark.skipif(not HAS_OPENCV, reason="opencv-python-headless<5 is not installed")
def test_faces(work: RunningServer) -> None:
    data = pytest.importorskip("skimage.data")
    photo = data.astronaut()  # its JSON is over 1 MB, so the server spools it
    found = process(work, "faces", **encoded(photo))
    assert found["faces"], "the cascade finds the astronaut"
    assert set(found["faces"][0]) == {"x", "y", "w", "h"}
    parts = view(work, "faces_ui", image=png(photo))
    assert [part["kind"] for part in parts] == ["image", "number", "file"]
    assert parts[1]["data"] == len(found["faces"])
