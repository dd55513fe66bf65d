"""Services as models of the Open Inference Protocol, called by hand and by Triton's clients."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import foreign_clients
from support.notebooks import make_notebook
from support.server import RunningServer, free_port, running_server

pytestmark = pytest.mark.timeout(300)

SERVICES = """
import time
from pathlib import Path
from typing import Annotated, Literal

import easymlnb as ml
import numpy as np
import pandas as pd
from numpy.typing import NDArray

@ml.service
def oip_scale(x: NDArray[np.float32], factor: float = 2.0) -> NDArray[np.float32]:
    return x * factor

@ml.service
def oip_add(a: int, b: float = 0.5) -> float:
    return a + b

@ml.service
def oip_words(text: str, times: int = 2) -> list[str]:
    return [text] * times

@ml.service
def oip_stats(values: list[float]) -> dict[str, float]:
    return {"sum": sum(values), "most": max(values)}

@ml.service
def oip_table(
    table: Annotated[pd.DataFrame, ml.Table({"a": "int", "b": "float", "name": "str"})],
) -> pd.DataFrame:
    return table.assign(b=table["b"] * 2)

@ml.service
def oip_file(data: ml.File) -> ml.File:
    return ml.File(data.data.upper(), "x.txt")

@ml.service(batch=ml.Batch(max_size=2))
def oip_batched(x: ml.Batched[NDArray[np.float32]]) -> list[float]:
    assert len(x) <= 2
    return [float(one.sum()) for one in x]

@ml.service
def oip_count(to: int):
    yield from range(to)

@ml.service
def oip_chat(prompt: str, times: int = 2):
    for _ in range(times):
        yield prompt
    if prompt == "broken":
        raise ml.CallerError("No more.")

@ml.service(timeout=120)
def oip_nap(folder: str) -> None:
    marks = Path(folder)
    try:
        (marks / "started").touch()
        for _ in range(1000):
            time.sleep(0.02)
    finally:
        (marks / "stopped").touch()

@ml.service
def oip_fail(how: Literal["told", "bug", "slow"]) -> str:
    if how == "told":
        raise ml.CallerError("Take another one.")
    if how == "slow":
        time.sleep(60)
    raise RuntimeError("a secret of the author")
"""
NOOP = "import easymlnb as ml\n\n@ml.service\ndef oip_noop() -> None:\n    pass"


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, grpc_port: int) -> Iterator[RunningServer]:
    notebooks = make_notebook(SERVICES), make_notebook(NOOP)
    options = (f"--EasyMLNB.grpc_port={grpc_port}", "--EasyMLNB.grpc_ip=127.0.0.1")
    folder = tmp_path_factory.mktemp("models")
    with running_server(folder, *notebooks, options=options, base="/user/alice/") as server:
        yield server


def infer(server: RunningServer, model: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.http.post(f"v2/models/{model}/infer", content=content, headers=sent)


def test_tritons_http_clients(server: RunningServer) -> None:
    url = f"127.0.0.1:{server.port}{server.base}easymlnb"
    found = foreign_clients.run_python("oip_triton.py", url, server.token)
    assert found["repository"] == ["UNAVAILABLE", "READY"]
    headers, values = found["stale"]
    assert "Inference-Header-Content-Length" in headers and values == [[2, 2, 2]]
    for one in (found["sync"], found["async"]):
        check_description(one)
        check_values(one)
        check_errors(one["errors"])


def test_tritons_grpc_clients(server: RunningServer, grpc_port: int, tmp_path: Path) -> None:
    url = f"127.0.0.1:{grpc_port}"
    found = foreign_clients.run_python("oip_grpc.py", url, server.token, tmp_path)
    assert found["loaded"] is found["stopped"] is True
    assert found["stream"][:3] == [[0], [1], [2]] and "no service" in found["stream"][3]
    assert found["streamed"] == [[0], [1], [0]]
    for one in (found["sync"], found["async"]):
        assert one["live"] is one["ready"] is True and one["server"] == "easymlnb"
        assert one["model"]["inputs"][0] == {"name": "x", "datatype": "FP32", "shape": ["-1"]}
        assert "oip_scale" in [model["name"] for model in one["index"]["models"]]
        assert one["value"] == one["half"] == [[0, 2, 4], [6, 8, 10]]
        assert one["large"] == [[1000, 1000], 2.0, 2.0]
        assert one["about"] == ["oip_scale", "1", "mine"]
        assert (one["words"], one["stats"], one["noop"]) == (["é", "é"], [3], 0)
        assert one["rows"] == [[3], [12]]
        check_statistics(one)
        for name, (status, text) in GRPC_ERRORS.items():
            found_status, found_text = one["errors"][name]
            assert found_status == f"StatusCode.{status}" and text in found_text, (name, one)


GRPC_ERRORS = {
    "input": ("INVALID_ARGUMENT", "no input 'x'"),
    "unknown": ("NOT_FOUND", "no service named 'nosuch'"),
    "stream": ("INVALID_ARGUMENT", "streaming service"),
    "author": ("INTERNAL", "The service's function failed"),
    "told": ("INVALID_ARGUMENT", "Take another one."),
    "limit": ("DEADLINE_EXCEEDED", ""),
    "deadline": ("DEADLINE_EXCEEDED", ""),
    "login": ("UNAUTHENTICATED", "token"),
    "wrong": ("UNAUTHENTICATED", "token"),
    "version": ("NOT_FOUND", "no version '9'"),
}


def check_description(found: dict[str, Any]) -> None:
    assert found["live"] is found["ready"] is found["model_ready"] is True
    assert "binary_tensor_data" in found["server"]["extensions"]
    assert found["model"]["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1]},
        {"name": "factor", "datatype": "FP64", "shape": [1], "parameters": {"optional": True}},
    ]
    assert found["version"] == found["model"] and found["model"]["versions"] == ["1"]
    tensors = [(one["name"], one["datatype"], one["shape"]) for one in found["table"]["inputs"]]
    assert tensors == [("a", "INT64", [-1]), ("b", "FP64", [-1]), ("name", "BYTES", [-1])]
    assert (found["config"]["max_batch_size"], found["config"]["input"][0]["dims"]) == (2, [-1])
    states = {one["name"]: one["state"] for one in found["index"]}
    assert states["oip_scale"] == "READY"
    assert "no service named 'nosuch'" in found["unknown"][1]
    check_statistics(found)


def check_statistics(found: dict[str, Any]) -> None:
    """JSON of gRPC has large numbers as texts."""
    (one,) = found["statistics"]["model_stats"]
    assert (one["name"], one["version"]) == ("oip_scale", "1")
    success, infer = (one["inference_stats"][name] for name in ("success", "compute_infer"))
    assert int(one["inference_count"]) == int(success["count"]) > 2
    assert 0 < int(infer["ns"]) < int(success["ns"]) and int(one["last_inference"]) > 1.7e12
    names = {one["name"] for one in found["all"]["model_stats"]}
    assert {"oip_scale", "oip_noop"} <= names


def check_values(found: dict[str, Any]) -> None:
    doubled = [[0, 2, 4], [6, 8, 10]]
    for way in ("binary", "json", "half", "gzip", "deflate"):
        assert found[way] == doubled, way
    assert found["about"] == {"model_name": "oip_scale", "model_version": "1", "id": "mine"}
    assert found["add"] == [4.5] and found["words"] == ["é", "é"] and found["stats"] == [3]
    assert found["only"] is None and found["file"] == ["CONTENT"]
    assert found["columns"] == {"a": [1, 2], "b": [1.0, 3.0], "name": ["x", "ü"]}
    assert found["rows"] == [[3], [12]] and found["noop"] == []


def check_errors(found: dict[str, Any]) -> None:
    texts = {
        "shape": (400, "no input 'x'"),
        "name": (400, "same name"),
        "output": (400, "no output 'nosuch'"),
        "stream": (400, "streaming service"),
        "author": (500, "The service's function failed"),
        "told": (400, "Take another one."),
        "slow": (504, ""),
        "login": (401, "token"),
        "version": (404, "no version '9'"),
    }
    for name, (status, text) in texts.items():
        assert str(status) in str(found[name][0]) and text in found[name][1], found[name]
        assert "secret" not in found[name][1]


def test_a_call_in_json(server: RunningServer) -> None:
    body = {
        "id": "7",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, None]},
            {"name": "factor", "datatype": "INT8", "shape": [1, 1], "data": [[3]]},
        ],
    }
    refused = infer(server, "oip_scale", body)
    assert refused.status_code == 400 and "finite" in refused.json()["error"]
    body["inputs"][0]["data"] = [1, 2]  # type: ignore[index]
    answer = infer(server, "oip_scale", body, X_Request_Id="an-inference-request")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "model_name": "oip_scale",
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "output", "datatype": "FP32", "shape": [2], "data": [3.0, 6.0]}],
    }
    entries = server.http.get("services/oip_scale/log").json()["entries"]
    assert "an-inference-request" in [entry["request_id"] for entry in entries]


def test_large_tensors_and_bodies_without_a_head(server: RunningServer) -> None:
    raw = struct.pack("<f", 1.5) * 500_000
    answer = infer(server, "oip_scale", raw, Inference_Header_Content_Length="0")
    length = int(answer.headers["Inference-Header-Content-Length"])
    (output,) = json.loads(answer.content[:length])["outputs"]
    assert (
        output["shape"] == [500_000]
        and answer.content[length:] == raw[:0] + struct.pack("<f", 3.0) * 500_000
    )
    content = infer(server, "oip_file", b"plain", Inference_Header_Content_Length="0")
    assert content.content.endswith(b"PLAIN")


def test_broken_bodies_are_refused(server: RunningServer) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}
    huge = tensor | {"shape": [2**47, 2**47], "data": None, "parameters": {"binary_data_size": 8}}
    bodies = [
        b"", b"[]", b"{", b'{"inputs": 1}', b'{"inputs": [1]}', b"\xff" * 50,
        {"inputs": [tensor | {"shape": [3]}]}, {"inputs": [tensor | {"shape": [-2]}]},
        {"inputs": [tensor | {"shape": "2"}]}, {"inputs": [tensor | {"datatype": "FP31"}]},
        {"inputs": [tensor | {"data": [1, "2"]}]}, {"inputs": [tensor | {"data": [[1], [1, 2]]}]},
        {"inputs": [huge]}, {"inputs": [tensor], "parameters": {"timeout": -1}},
        {"inputs": [tensor], "outputs": [{"name": 1}]}, {"inputs": []},
    ]  # fmt: skip
    for body in bodies:
        answer = infer(server, "oip_scale", body)
        assert answer.status_code == 400 and answer.json()["error"], body
    for value in ("-1", "x", "9" * 30):
        answer = infer(server, "oip_scale", {"inputs": []}, Inference_Header_Content_Length=value)
        assert answer.status_code == 400
    answer = infer(server, "oip_scale", b"not packed", Content_Encoding="gzip")
    assert answer.status_code == 400 and "gzip" in answer.json()["error"]
    assert infer(server, "oip_scale", b"", Content_Encoding="br").status_code == 415


def data_of(answer: httpx.Response) -> list[Any]:
    """Return what the events of a stream say."""
    assert answer.headers["Content-Type"] == "text/event-stream", answer.text
    return [json.loads(one.removeprefix("data: ")) for one in answer.text.split("\n\n") if one]


def test_streams_by_events(server: RunningServer) -> None:
    def post(model: str, *inputs: Any) -> httpx.Response:
        body = {"id": "7", "inputs": inputs, "parameters": {"binary_data_output": True}}
        return server.http.post(f"v2/models/{model}/infer_stream", json=body)

    to = {"name": "to", "datatype": "INT64", "shape": [1], "data": [2]}
    about = {"model_name": "oip_count", "model_version": "1", "id": "7"}
    output = {"name": "output", "datatype": "INT64", "shape": [1]}
    assert data_of(post("oip_count", to)) == [
        about | {"outputs": [output | {"data": [number]}]} for number in (0, 1)
    ]
    assert data_of(post("oip_count", to | {"data": [0]})) == []
    a = {"name": "a", "datatype": "INT64", "shape": [1], "data": [4]}
    (whole,) = data_of(post("oip_add", a))
    assert whole["outputs"][0]["data"] == [4.5]
    refused = post("oip_count")
    assert refused.status_code == 400 and "to: A value is required" in refused.json()["error"]


def test_texts(server: RunningServer) -> None:
    def post(model: str, way: str, **body: Any) -> httpx.Response:
        return server.http.post(f"v2/models/{model}/{way}", json=body)

    about = {"model_name": "oip_chat", "model_version": "1"}
    many = {"text_input": "é", "parameters": {"times": 3, "stream": True}}
    assert post("oip_chat", "generate", **many).json() == about | {"text_output": "ééé"}
    assert (
        data_of(post("oip_chat", "generate_stream", **many)) == [about | {"text_output": "é"}] * 3
    )
    *items, last = data_of(post("oip_chat", "generate_stream", prompt="broken"))
    assert len(items) == 2 and last == {"error": "No more."}
    refused = post("oip_chat", "generate", prompt="broken")
    assert (refused.status_code, refused.json()) == (400, {"error": "No more."})
    words = post("oip_words/versions/1", "generate", text_input="a", id="7").json()
    assert words == about | {"model_name": "oip_words", "id": "7", "output": ["a", "a"]}
    for way in ("generate", "generate_stream"):
        for body, says in (({"times": 1}, "prompt"), ({"prompt": "a", "nosuch": 1}, "nosuch")):
            answer = post("oip_chat", way, **body)
            assert answer.status_code == 400 and says in answer.json()["error"], answer.text
