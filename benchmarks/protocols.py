"""What other protocols cost, next to our own: a no-op call, and an array of 4 MB both ways.

All are called in turns, on one connection each. Compare the ratios; ``plain`` is a JSON call that
takes no fast path, and the bare gRPC server is what gRPC itself costs. ``--mlserver PYTHON`` is the
interpreter of an environment with ``mlserver``: then its REST is called as well.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
from common import TOKEN, Caller, Peer, easymlnb, free_port, process, publish, service, wait_for

SOURCE = """
import easymlnb as ml
import numpy as np
from numpy.typing import NDArray

@ml.service
def noop() -> None:
    pass

@ml.service
def score(x: float) -> None:
    pass

@ml.service
def echo(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x
"""
CALLS, ROUNDS = 100, 5
LARGE_CALLS, NUMBERS = 20, 2**20

ROW = b'{"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}'
"""One row, which is one call: MLflow's protocol has no calls without an input."""

CURRENT = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": CURRENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}

Calls = dict[str, Callable[[], object]]


def mcp(url: str, version: str) -> Peer:
    """Return the same service as a tool, called by a client of one revision."""
    params = {"name": "noop", "arguments": {}}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {TOKEN}",
        "MCP-Protocol-Version": version,
    }
    if version == CURRENT:
        params["_meta"] = META
        headers |= {"Mcp-Method": "tools/call", "Mcp-Name": "noop"}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return Peer(f"{url}services/noop/mcp", [json.dumps(message).encode()], headers)


def install_module(folder: Path) -> str:
    """Write a DEEPaaS module that does nothing, and return the cell that serves it."""
    info = folder / "noop_module-1.dist-info"
    info.mkdir(parents=True)
    (folder / "noop_module.py").write_text("def predict():\n    return None\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noop_module\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[deepaas.v2.model]\nnoop = noop_module\n")
    return (
        f"import sys\nsys.path.insert(0, {str(folder)!r})\n"
        "from easymlnb.compat import deepaas\ndeepaas.serve('noop', name='deep')"
    )


def deepaas(url: str) -> Peer:
    """Return the same service as a DEEPaaS module."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    return Peer(f"{url}services/deep/deepaas/v2/models/noop/predict/", [b"{}"], headers)


def oip(url: str, model: str, array: np.ndarray | None = None) -> Peer:
    """Return the same service as a model, with binary tensors."""
    inputs = []
    data = b"" if array is None else array.tobytes()
    if array is not None:
        size = {"binary_data_size": len(data)}
        inputs = [{"name": "x", "datatype": "FP32", "shape": list(array.shape), "parameters": size}]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Authorization": f"Bearer {TOKEN}",
        "Inference-Header-Content-Length": str(len(head)),
    }
    return Peer(f"{url}v2/models/{model}/infer", [head + data], headers)


def npy(url: str, array: np.ndarray) -> Peer:
    target = io.BytesIO()
    np.save(target, array)
    peer = service(url, "echo", [target.getvalue()], "application/x-npy")
    return Peer(peer.url, peer.bodies, peer.headers | {"Accept": "application/x-npy"})


def rpc(port: int, model: str, array: np.ndarray | None = None) -> Callable[[], object]:
    """Return a call of the same service by gRPC."""
    import grpc

    from easymlnb_server.protocols.oip.rpc.messages import SERVICE, message

    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=limits)
    infer = channel.unary_unary(
        f"/{SERVICE}/ModelInfer",
        request_serializer=message("ModelInferRequest").SerializeToString,
        response_deserializer=message("ModelInferResponse").FromString,
    )
    request = message("ModelInferRequest")(model_name=model)
    if array is not None:
        request.inputs.add(name="x", datatype="FP32", shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    metadata = (("authorization", f"Bearer {TOKEN}"),)
    return lambda: infer(request, metadata=metadata, wait_for_ready=True)


@contextlib.contextmanager
def bare_rpc(folder: Path) -> Iterator[Callable[[], object]]:
    """Run a gRPC server that does nothing; yields a call of it."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).parent / "peers/grpc_echo.py"), str(port)]
    with process(command, dict(os.environ), folder):
        yield rpc(port, "noop")


MODEL = """
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput

class Echo(MLModel):
    async def predict(self, payload):
        outputs = [
            ResponseOutput(name="output", shape=one.shape, datatype=one.datatype, data=one.data)
            for one in payload.inputs
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
"""


@contextlib.contextmanager
def mlserver(python: str, array: np.ndarray) -> Iterator[tuple[Calls, Calls]]:
    """Run MLServer with the same two models; yields their calls."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        settings = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
        more = {"parallel_workers": 1, "host": "127.0.0.1"}
        (folder / "settings.json").write_text(json.dumps(settings | more))
        (folder / "echo.py").write_text(MODEL)
        model = {"name": "echo", "implementation": "echo.Echo"}
        (folder / "model-settings.json").write_text(json.dumps(model))
        command = [str(Path(python).with_name("mlserver")), "start", str(folder)]
        with process(command, {**os.environ, "PYTHONPATH": name}, folder):
            url = f"http://127.0.0.1:{port}/v2/models/echo"
            wait_for(f"{url}/ready")
            one = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]}
            numbers = one | {"shape": [array.size], "data": array.ravel().tolist()}
            bodies = [json.dumps({"inputs": [body]}).encode() for body in (one, numbers)]
            peers = [Peer(f"{url}/infer", [body]) for body in bodies]
            small, large = (Caller(peer).call for peer in peers)
            yield {"MLServer REST": small}, {"MLServer REST (JSON)": large}


def measure(calls: Calls, count: int) -> dict[str, float]:
    """Return the median seconds of each call; all are called in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(max(3, count // 6)):
            call()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            for _ in range(count):
                began = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - began)
    return {name: median(found) for name, found in times.items()}


def show(title: str, found: dict[str, float]) -> None:
    base = next(iter(found.values()))
    print(f"\n| {title} | p50 | ratio |")
    print("|---|---|---|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds * 1e3:.3f} ms | {seconds / base:.2f} |")


def run(
    url: str, port: int, bare: Callable[[], object], theirs: tuple[Calls, Calls], array: np.ndarray
) -> None:
    call = service(url, "noop", [b"{}"])
    peers = {
        "JSON call": call,
        "plain": Peer(call.url, call.bodies, call.headers | {"X-Timeout": "20"}),
        "OIP": oip(url, "noop"),
        "MCP 2026-07-28": mcp(url, CURRENT),
        "MCP 2025-11-25": mcp(url, "2025-11-25"),
        "DEEPaaS": deepaas(url),
        "MLflow": Peer(f"{url}services/score/invocations", [ROW], call.headers),
        "EasyMLServe": Peer(f"{url}services/noop/process", call.bodies, call.headers),
    }
    small: Calls = {name: Caller(peer).call for name, peer in peers.items()}
    small |= {"OIP by gRPC": rpc(port, "noop"), "a bare gRPC server": bare}
    show("no-op", measure(small | theirs[0], CALLS))
    large: Calls = {
        "application/x-npy": Caller(npy(url, array)).call,
        "OIP": Caller(oip(url, "echo", array)).call,
        "OIP by gRPC": rpc(port, "echo", array),
    }
    show(f"{array.nbytes / 2**20:g} MB both ways", measure(large | theirs[1], LARGE_CALLS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mlserver", default="", help="python of an environment with mlserver")
    arguments = parser.parse_args()
    array = np.random.default_rng(1).random(NUMBERS, np.float32)
    port = free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(easymlnb(folder, app_kernels=0, grpc_port=port))
        publish(url, SOURCE, "protocols")
        publish(url, install_module(folder / "site"), "deep")
        theirs: tuple[Calls, Calls] = ({}, {})
        if arguments.mlserver:
            theirs = stack.enter_context(mlserver(arguments.mlserver, array))
        bare = stack.enter_context(bare_rpc(folder))
        run(url, port, bare, theirs, array)


if __name__ == "__main__":
    main()
