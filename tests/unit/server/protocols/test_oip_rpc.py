"""Messages of gRPC as the bodies of REST, and our errors as its codes."""

import contextlib
import json
import struct
import threading
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest

from easymlnb.contract.errors import (
    BadRequest,
    Busy,
    CallCancelled,
    DeadlineExceeded,
    EasyMLNBError,
    Forbidden,
    InternalError,
    InvalidInput,
    JobEnded,
    LimitExceeded,
    NotLoggedIn,
    NotReady,
    ResultNotEncodable,
    ServiceNotFound,
    TooLarge,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.tensors import TENSORS, WantedOutputs, parameters_of
from easymlnb.contract.worker_protocol import LARGE
from easymlnb.services import codec
from easymlnb.services.schema import Schema
from easymlnb_server.identity.access import Caller
from easymlnb_server.protocols.oip.models import ModelMetadata
from easymlnb_server.protocols.oip.rpc import handlers, translation
from easymlnb_server.protocols.oip.rpc.codes import code_of
from easymlnb_server.protocols.oip.rpc.handlers import RpcCaller
from easymlnb_server.protocols.oip.rpc.messages import message, methods, reader
from easymlnb_server.services.registry import Selection


def both(x: np.ndarray, names: list[str], n: int = 0) -> dict[str, Any]: ...


def request(*inputs: dict[str, Any], raw: list[bytes] | None = None, **more: Any) -> Any:
    made = message("ModelInferRequest")(model_name="f", id="7", **more)
    for one in inputs:
        made.inputs.add(**one)
    made.raw_input_contents.extend(raw or [])
    return made


def decoded(made: Any) -> dict[str, Any]:
    body, inference = translation.to_body(made)
    return codec.decode_request(Schema.of(both), inference.content_type, body)


X = {"name": "x", "datatype": "FP32", "shape": [2]}
NAMES = {"name": "names", "datatype": "BYTES", "shape": [2]}
RAW = [struct.pack("<2f", 1, 2), translation.with_lengths([b"a", b"bc"])]


def test_requests() -> None:
    found = decoded(request(X, NAMES, raw=RAW))
    assert found["x"].tolist() == [1, 2] and found["names"] == ["a", "bc"]
    contents = [
        X | {"contents": {"fp32_contents": [1.5, 2]}},
        NAMES | {"contents": {"bytes_contents": [b"a", b"b"]}},
        {"name": "n", "datatype": "INT8", "shape": [1], "contents": {"int_contents": [-3]}},
    ]
    found = decoded(request(*contents))
    assert (found["x"].tolist(), found["names"], found["n"]) == ([1.5, 2], ["a", "b"], -3)
    made = request(X, NAMES, raw=RAW, outputs=[{"name": "y"}])
    made.parameters["timeout"].int64_param = 2_000_000
    inference = translation.to_body(made)[1]
    assert (inference.id, inference.timeout) == ("7", 2.0)
    assert WantedOutputs.parse(inference.accept) == WantedOutputs({"y": True}, binary=True)


@pytest.mark.parametrize(
    "made",
    [
        request(X, NAMES, raw=RAW[:1]),
        request(X | {"datatype": "FP16"}),
        request(X | {"datatype": "no"}),
        request(X | {"datatype": "INT8", "contents": {"int_contents": [1, 300]}}),
        request(X | {"contents": {"fp32_contents": [1]}}, NAMES),
        request(X | {"shape": [-2]}, NAMES, raw=RAW),
        request(NAMES | {"name": ""}, NAMES, raw=RAW),
    ],
    ids=range(7),
)
def test_broken_requests(made: Any) -> None:
    with pytest.raises(BadRequest):
        decoded(made)


def test_responses() -> None:
    value = {"y": np.arange(3, dtype=np.int16), "label": "é"}
    encoded = codec.encode_response(Schema.of(both), value, WantedOutputs(binary=True).accept())
    body = bytes(encoded.body)
    found = translation.to_response(encoded.content_type, body, "f", "3", "7")
    assert (found.model_name, found.model_version, found.id) == ("f", "3", "7")
    shapes = [(one.name, one.datatype, list(one.shape)) for one in found.outputs]
    assert shapes == [("y", "INT16", [3]), ("label", "BYTES", [1])]
    label = translation.with_lengths(["é".encode()])
    assert list(found.raw_output_contents) == [struct.pack("<3h", 0, 1, 2), label]
    item = codec.encode_item(Schema.of(both), value, WantedOutputs(binary=True).accept())
    assert translation.item_response(item, "f", "3", "7") == found
    with pytest.raises(ResultNotEncodable):
        translation.to_response("application/json", b"1", "f", "3", "")
    length = int(parameters_of(encoded.content_type)["head"])
    assert json.loads(body[:length])["outputs"][0]["parameters"] == {"binary_data_size": 6}
    assert encoded.content_type.startswith(TENSORS)


def test_metadata() -> None:
    schema = Schema.of(both)
    spec = ServiceSpec(name="f", title="F", input=schema.input, output=schema.output)
    found = translation.to_metadata(ModelMetadata.of(spec, ("1", "2")))
    assert list(found.versions) == ["1", "2"]
    assert [one.name for one in found.inputs] == ["x", "names", "n"]


def test_codes() -> None:
    code = grpc.StatusCode
    errors: list[tuple[EasyMLNBError, Any]] = [
        (BadRequest("x"), code.INVALID_ARGUMENT),
        (InvalidInput([]), code.INVALID_ARGUMENT),
        (NotLoggedIn(), code.UNAUTHENTICATED),
        (Forbidden(), code.PERMISSION_DENIED),
        (ServiceNotFound("f"), code.NOT_FOUND),
        (TooLarge("x"), code.RESOURCE_EXHAUSTED),
        (Busy(1, 2.0), code.RESOURCE_EXHAUSTED),
        (LimitExceeded("key", "calls", 1, 2), code.RESOURCE_EXHAUSTED),
        (DeadlineExceeded(1), code.DEADLINE_EXCEEDED),
        (NotReady("x"), code.UNAVAILABLE),
        (CallCancelled(), code.CANCELLED),
        (InternalError(), code.INTERNAL),
        (JobEnded("failed"), code.FAILED_PRECONDITION),
    ]
    for error, expected in errors:
        assert code_of(error) is expected, error.code


@pytest.mark.parametrize("version", ["", "2"])
async def test_a_call_is_checked_by_the_version_that_its_metadata_names(version: str) -> None:
    schema = Schema.of(both)
    woken: list[str] = []

    def find(name: str, caller: Caller, selection: Selection | None = None) -> Any:
        stream = selection is not None and selection.version == "2"
        spec = ServiceSpec(
            name=name, title="F", input=schema.input, output=schema.output, stream=stream
        )
        return SimpleNamespace(spec=spec)

    async def wake(name: str, version: str) -> None:
        woken.append(version)

    state: Any = SimpleNamespace(
        invoker=SimpleNamespace(find=find),
        services=SimpleNamespace(wake=wake),
        quotas=SimpleNamespace(max_body=lambda name, caller, limit: limit),
    )
    headers = {"x-easymlnb-version": version} if version else {}
    sender = RpcCaller(state, Caller("ann"), "user ann", "1", headers)
    refused = pytest.raises(BadRequest, match="streaming service")
    with refused if version else contextlib.nullcontext():
        assert await sender._admit(request(), streams=False) > 0
    assert woken == ([version] if version else [])


async def test_large_requests_are_packed_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    to_body = translation.to_body

    def noting(made: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return to_body(made)

    monkeypatch.setattr(translation, "to_body", noting)
    for count in (10, LARGE // 4):
        values = {"shape": [count], "contents": {"fp32_contents": [1.5] * count}}
        body, _ = await translation.body_of(request(X | values), 2 * LARGE)
        assert len(body) > 4 * count
    assert threads == [True, False]
    with pytest.raises(TooLarge):
        await translation.body_of(request(X, raw=[b"x" * 8]), 10)


async def test_bytes_that_are_no_message_are_a_bad_request() -> None:
    read = reader("ModelInferRequest")
    assert read(request(X).SerializeToString()) == request(X)
    broken = read(b"\xff\xff")
    aborted = []

    async def abort(code: Any, details: str) -> None:
        aborted.append((code, details))

    async def run(*given: Any) -> None:
        raise AssertionError

    sender: Any = None
    await handlers._guarded(run, sender, broken, SimpleNamespace(abort=abort))
    said = "The request is not a valid message ModelInferRequest."
    assert aborted == [(grpc.StatusCode.INVALID_ARGUMENT, said)]

    async def requests() -> Any:
        yield broken

    answers = handlers.InferenceService.ModelStreamInfer(sender, sender, requests(), sender)
    assert [one.error_message async for one in answers] == [said]


def test_all_calls_are_answered() -> None:
    from easymlnb_server.protocols.oip.rpc.handlers import InferenceService

    assert {method.name for method in methods()} <= set(dir(InferenceService))
