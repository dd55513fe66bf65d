"""Tensors of inference requests: what they become, what results become, and what is refused."""

import json
import random
import struct
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

import easymlnb as ml
from easymlnb.contract import tensors
from easymlnb.contract.errors import BadRequest, EasyMLNBError, InvalidInput, ResultNotEncodable
from easymlnb.contract.spec import Batch, ServiceSpec
from easymlnb.contract.tensors import TENSORS, WantedOutputs
from easymlnb.services import codec
from easymlnb.services.schema import Schema
from easymlnb.services.tensors import results

Json = dict[str, Any]


@dataclass
class Point:
    x: float
    y: int = 0


def numbers(a: int, b: float, c: bool = False) -> float: ...
def texts(text: str, way: Literal["up", "down"] = "up", words: list[str] | None = None) -> str: ...
def array(x: Annotated[np.ndarray, ml.Array("float32", (None, 2))]) -> NDArray[np.float32]: ...
def anything(x: np.ndarray) -> np.ndarray: ...
def grid(rows: list[list[float]]) -> list[list[float]]: ...
def point(p: Point, either: int | str = 0) -> Point: ...
def table(t: pd.DataFrame, factor: float = 1.0) -> pd.DataFrame: ...
def typed(t: Annotated[pd.DataFrame, ml.Table({"a": "int", "n": "str"})], a: int = 0) -> None: ...
def file(data: ml.File, more: list[ml.File] | None = None) -> ml.File: ...
def image(picture: Image.Image) -> Annotated[np.ndarray, ml.Image()]: ...
def mixed() -> dict[str, Any]: ...
def none(x: int) -> None: ...


def spec_of(function: Any, **options: Any) -> ServiceSpec:
    schema = Schema.of(function)
    return ServiceSpec(name="f", title="F", input=schema.input, output=schema.output, **options)


def described(found: list[tensors.TensorMetadata]) -> list[tuple[Any, ...]]:
    return [(one.name, one.datatype, *one.shape) for one in found]


def sent(name: str, datatype: str, shape: list[int], data: Any, **parameters: Any) -> Json:
    one = {"name": name, "datatype": datatype, "shape": shape, "data": data}
    return one | ({"parameters": parameters} if parameters else {})


def body(*inputs: Json, tail: bytes = b"", **more: Any) -> tuple[str, bytes]:
    head = json.dumps({"inputs": list(inputs), **more}).encode()
    head += b" " * (-len(head) % 8)  # numbers that are not aligned are copied
    return f"{TENSORS};head={len(head)}", head + tail


def values(function: Any, *inputs: Json, tail: bytes = b"", **more: Any) -> Json:
    return codec.decode_request(Schema.of(function), *body(*inputs, tail=tail, **more))


def written(function: Any, value: Any, binary: bool = False) -> list[Json]:
    """Return the outputs of a result; binary ones with their bytes as ``data``."""
    encoded = codec.encode_response(
        Schema.of(function), value, WantedOutputs(binary=binary).accept()
    )
    length = int(tensors.parameters_of(encoded.content_type)["head"])
    outputs: list[Json] = json.loads(encoded.body[:length])["outputs"]
    rest = bytes(encoded.body[length:])
    for one in outputs:
        size = one.get("parameters", {}).pop("binary_data_size", None)
        if size is not None:
            one["data"], rest = rest[:size], rest[size:]
    assert not rest
    return outputs


def test_parameters_and_results_are_tensors() -> None:
    cases = {
        numbers: ([("a", "INT64", 1), ("b", "FP64", 1), ("c", "BOOL", 1)], [("output", "FP64", 1)]),
        texts: (
            [("text", "BYTES", 1), ("way", "BYTES", 1), ("words", "BYTES", -1)],
            [("output", "BYTES", 1)],
        ),
        array: ([("x", "FP32", -1, 2)], [("output", "FP32", -1)]),
        grid: ([("rows", "FP64", -1, -1)], [("output", "FP64", -1, -1)]),
        point: ([("p", "BYTES", 1), ("either", "BYTES", 1)], [("x", "FP64", 1), ("y", "INT64", 1)]),
        typed: ([("t.a", "INT64", -1), ("n", "BYTES", -1), ("a", "INT64", 1)], []),
        table: ([("t", "BYTES", 1), ("factor", "FP64", 1)], [("output", "BYTES", 1)]),
        file: ([("data", "BYTES", 1), ("more", "BYTES", -1)], [("output", "BYTES", 1)]),
        image: ([("picture", "BYTES", 1)], [("output", "BYTES", 1)]),
    }
    for function, (inputs, outputs) in cases.items():
        spec = spec_of(function)
        assert described(tensors.inputs(spec)) == inputs, function.__name__
        assert described(tensors.outputs(spec)) == outputs, function.__name__
    optional = tensors.inputs(spec_of(numbers))[2]
    assert optional.parameters == {"optional": True}
    assert tensors.inputs(spec_of(point))[0].parameters == {"content_type": "json"}
    batched = spec_of(array, batch=Batch())
    assert described(tensors.inputs(batched)) == [("x", "FP32", -1, -1, 2)]


def test_numbers_and_texts() -> None:
    a, b = sent("a", "UINT8", [1, 1], [[3]]), sent("b", "INT64", [], [2])
    assert values(numbers, a, b) == {"a": 3, "b": 2.0, "c": False}
    binary = [
        sent("a", "INT16", [1], None, binary_data_size=2),
        sent("b", "FP16", [1], None, binary_data_size=2),
        sent("c", "BOOL", [1], None, binary_data_size=1),
    ]
    found = values(numbers, *binary, tail=struct.pack("<he?", -7, 0.5, True))
    assert found == {"a": -7, "b": 0.5, "c": True}
    brain = sent("b", "BF16", [1], None, binary_data_size=2)
    found = values(numbers, a, brain, tail=struct.pack("<f", 1.5)[2:])
    assert found["b"] == 1.5
    words = sent("words", "BYTES", [2], ["x", "ü"])
    text = sent("text", "BYTES", [1], None, binary_data_size=6)
    found = values(texts, words, text, tail=struct.pack("<I", 2) + "é".encode())
    assert (found["text"], found["words"], found["way"]) == ("é", ["x", "ü"], "up")
    assert values(grid, sent("rows", "INT8", [1, 2], [1, 2])) == {"rows": [[1.0, 2.0]]}


def test_arrays_are_views_where_they_can_be() -> None:
    one = sent("x", "FP32", [2, 2], None, binary_data_size=16)
    content_type, content = body(one, tail=np.arange(4, dtype="<f4").tobytes())
    writable = memoryview(bytearray(content))
    found = codec.decode_request(Schema.of(array), content_type, writable)["x"]
    assert found.tolist() == [[0, 1], [2, 3]] and found.base is not None
    with pytest.raises(InvalidInput, match="finite"):
        values(anything, sent("x", "FP64", [1], [None]))
    with pytest.raises(InvalidInput, match="shape"):
        values(array, sent("x", "FP32", [3], [1, 2, 3]))


def test_json_files_and_tables() -> None:
    found = values(point, sent("p", "BYTES", [1], ['{"x": 1}']), sent("either", "INT8", [1], [4]))
    assert found == {"p": Point(1.0), "either": 4}
    content = values(file, sent("data", "BYTES", [1], ["eA=="], content_type="base64"))["data"]
    assert content.data == b"x"
    more = [sent("data", "BYTES", [1], ["a"]), sent("more", "BYTES", [2], ["b", "c"])]
    assert [one.data for one in values(file, *more)["more"]] == [b"b", b"c"]
    picture = sent("picture", "UINT8", [1, 2], [[0, 255]])
    assert values(image, picture)["picture"].size == (2, 1)
    columns = sent("a", "INT64", [2], [1, 2]), sent("b", "BYTES", [2, 1], [["x"], ["y"]])
    for more_parameters in ({}, {"parameters": {"content_type": "pd"}}):
        frame = values(table, *columns, **more_parameters)["t"]
        assert frame.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}
    csv = values(table, sent("t", "BYTES", [1], ["a,b\n1,x"]), sent("factor", "FP64", [1], [2]))
    assert csv["t"].to_dict("list") == {"a": [1], "b": ["x"]} and csv["factor"] == 2
    found = values(typed, sent("t.a", "INT64", [1], [1]), sent("n", "BYTES", [1], ["x"]))
    assert found["t"].to_dict("list") == {"a": [1], "n": ["x"]} and found["a"] == 0
    with pytest.raises(InvalidInput, match="same length"):
        values(table, sent("a", "INT64", [1], [1]), sent("b", "INT64", [2], [1, 2]))


def test_a_body_without_a_head() -> None:
    raw = partial(codec.decode_request, content_type=f"{TENSORS};raw=1")
    assert raw(Schema.of(file), body=b"abc")["data"].data == b"abc"
    found = raw(Schema.of(array), body=struct.pack("<4f", 1, 2, 3, 4))["x"]
    assert found.tolist() == [[1, 2], [3, 4]]
    for function, content in ((array, b"123"), (array, b"1234"), (numbers, b"12345678")):
        with pytest.raises(BadRequest):
            raw(Schema.of(function), body=content)


def test_results() -> None:
    assert written(numbers, 3) == [
        {"name": "output", "datatype": "FP64", "shape": [1], "data": [3.0]}
    ]
    assert written(none, None) == []
    (output,) = written(array, np.float32([[1, np.nan]]))
    assert (output["shape"], output["data"]) == ([1, 2], [1.0, None])
    (output,) = written(array, np.arange(2, dtype=">f4")[::-1], binary=True)
    assert output["data"] == struct.pack("<2f", 1, 0)
    (output,) = written(texts, "é", binary=True)
    assert output["data"] == struct.pack("<I", 2) + "é".encode()
    (output,) = written(grid, [[1, 2], [3, 4]])
    assert (output["datatype"], output["shape"], output["data"]) == ("FP64", [2, 2], [1, 2, 3, 4])
    x, y = written(point, Point(1.5, 2))
    assert (x["data"], y["datatype"]) == ([1.5], "INT64")
    a, b, c = written(table, pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [None, 1.5]}))
    assert (a["data"], b["data"], c["data"]) == ([1, 2], ["x", "y"], [None, 1.5])
    (output,) = written(file, ml.File(b"\xff", "x.bin"))
    assert output["data"] == ["/w=="] and output["parameters"]["content_type"] == "base64"
    (output,) = written(image, np.zeros((2, 2, 3), np.uint8), binary=True)
    assert output["data"][4:].startswith(b"\x89PNG")
    assert output["parameters"] == {"content_type": "image/png"}


def test_results_of_any_kind() -> None:
    value = {
        "numbers": [1, 2.5, None], "mixed": [1, "x"], "deep": {"a": [1]}, "huge": 2**70,
        "ragged": [[1], [1, 2]], "flags": [True], "scalar": np.int16(3), "texts": np.array(["a"]),
        "complex": 1.5, "empty": [], "missing": None,
    }  # fmt: skip
    found = {one["name"]: one for one in written(mixed, value)}
    assert found["numbers"]["data"] == [1.0, 2.5, None]
    assert (found["flags"]["datatype"], found["scalar"]["datatype"]) == ("BOOL", "INT64")
    assert found["texts"]["data"] == ["a"]
    as_json = {name for name, one in found.items() if one.get("parameters")}
    assert as_json == {"mixed", "deep", "huge", "ragged", "empty", "missing"}
    assert json.loads(found["huge"]["data"][0]) == 2**70
    with pytest.raises(ResultNotEncodable):
        written(mixed, {"x": object()})
    with pytest.raises(ResultNotEncodable, match="surrogate"):
        written(mixed, {"x": "\ud800"})


def test_wanted_outputs() -> None:
    wanted = WantedOutputs({"a b,;:=é": True, "c": False}, binary=True)
    assert WantedOutputs.parse(wanted.accept()) == wanted
    accept = WantedOutputs({"x": False}).accept()
    encoded = codec.encode_response(Schema.of(point), Point(1.0), accept)
    assert [one["name"] for one in json.loads(encoded.body)["outputs"]] == ["x"]
    with pytest.raises(BadRequest, match="no output 'z'"):
        codec.encode_response(Schema.of(point), Point(1.0), WantedOutputs({"z": True}).accept())


def test_rows() -> None:
    schema = Schema.of(array)
    one = sent("x", "FP32", [2, 1, 2], [[[1, 2]], [[3, 4]]])
    rows = codec.decode_rows(schema, *body(one))
    assert [row["x"].tolist() for row in rows] == [[[1, 2]], [[3, 4]]]
    found = codec.encode_rows(schema, [row["x"] for row in rows], WantedOutputs().accept())
    (output,) = json.loads(found.body)["outputs"]
    assert (output["shape"], output["data"]) == ([2, 1, 2], [1, 2, 3, 4])
    texts_of = [results.outputs(Schema.of(texts), text) for text in ("a", "b")]
    (stacked,) = results.stack(texts_of)
    assert (stacked.shape, stacked.items) == ((2, 1), [b"a", b"b"])
    with pytest.raises(ResultNotEncodable, match="shape of 'output'"):
        codec.encode_rows(schema, [np.zeros(1), np.zeros(2)], "")
    with pytest.raises(ResultNotEncodable, match="number of outputs"):
        codec.encode_rows(schema, [None, np.zeros(2)], "")
    for shape, data in (([], [1]), ([0, 2], []), ([2**40, 0], [])):
        with pytest.raises(BadRequest):
            codec.decode_rows(schema, *body(sent("x", "FP32", shape, data)))


def test_empty_tensors_have_shapes_of_a_bearable_size() -> None:
    schema = Schema.of(anything)
    loaded = codec.decode_request(schema, *body(sent("x", "FP32", [0, 3], [])))
    assert loaded["x"].shape == (0, 3)
    for shape in ([2**40, 0], [2**47, 2**47, 0]):
        with pytest.raises(BadRequest, match="shape that is too large"):
            codec.decode_request(schema, *body(sent("x", "FP32", shape, [])))


def test_numbers_that_no_tensor_has_are_named() -> None:
    with pytest.raises(ResultNotEncodable, match="cannot be sent"):
        results.outputs(Schema.of(grid), [10**400, 1.0])


def broken_bodies(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield bodies with one mistake each, none of which is a valid request."""
    chance = random.Random(20261130)
    wrong = [None, True, "2", -1, 1.5, [], {}, [[1]], {"a": 1}, 2**70, "x" * 300]
    shapes = [[-1, 2], [2**47, 2**47], [3, 2], [2, 2, 2], ["2", 2], [2.5, 2], [1] * 40, 4, "22"]
    for number in range(count):
        one = sent("x", "FP32", [2, 2], None, binary_data_size=16)
        other = sent("text", "BYTES", [1], None, binary_data_size=5)
        inputs: Any = [one, other]
        tail = struct.pack("<4f", 1, 2, 3, 4) + struct.pack("<I", 1) + b"x"
        kind = number % 8
        if kind == 0:
            one["shape"] = chance.choice(shapes)
        elif kind == 1:
            one["parameters"]["binary_data_size"] = chance.choice([*wrong[1:], 15, 17, 2**62])
        elif kind == 2:
            tail = tail[: chance.randrange(len(tail))]
        elif kind == 3:
            tail += bytes(chance.randrange(1, 50))
        elif kind == 4:
            one[chance.choice(["name", "datatype"])] = chance.choice([*wrong[:5], ["x"], {"a": 1}])
            one["datatype"] = one["datatype"] if not isinstance(one["datatype"], str) else "FP31"
        elif kind == 5:
            tail = tail[:16] + struct.pack("<I", chance.choice([0, 2, 2**31, 2**32 - 1])) + b"x"
        elif kind == 6:
            inputs = chance.choice([*wrong, [1], ["x"], [[one]], [one, one]])
            inputs = {"inputs": inputs} if inputs == [] else inputs
        head = json.dumps({"inputs": inputs}).encode()
        if kind == 7:
            at = chance.randrange(1, len(head) - 1)
            head = head[:at] + chance.choice([b"\x00", b"\xff", b"{", b"]", b'"']) + head[at:]
            head = head[: chance.randrange(1, len(head))]
        yield f"{TENSORS};head={len(head)}", head + tail


def both(x: np.ndarray, text: str) -> None: ...


def test_broken_bodies_are_refused_without_memory() -> None:
    schema = Schema.of(both)
    tracemalloc.start()
    try:
        for number, (content_type, content) in enumerate(broken_bodies(200)):
            with pytest.raises(EasyMLNBError) as caught:
                codec.decode_request(schema, content_type, content)
            assert isinstance(caught.value, BadRequest | InvalidInput), (number, content)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
