import base64
import io
import json
from typing import Annotated

import jsonschema
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import easymlnb.types as ml
from easymlnb.contract.errors import InvalidInput, ResultNotEncodable
from easymlnb.services import codec, presentation
from easymlnb.services.schema import Schema
from easymlnb.types.npy import NPY, read_npy, write_npy


def _array(x: np.ndarray) -> np.ndarray: ...


def _compact(
    x: Annotated[np.ndarray, ml.Array(allow_nan=True, compact=True)],
) -> Annotated[np.ndarray, ml.Array(allow_nan=True, compact=True)]: ...


ARRAY, COMPACT = Schema.of(_array), Schema.of(_compact)


def load(schema: Schema, value):
    return schema.load_json(json.dumps({"x": value}).encode())["x"]


def refused(schema: Schema, value) -> str:
    with pytest.raises(InvalidInput) as error:
        schema.load({"x": value})
    return error.value.details[0]["message"]


def packed(array: np.ndarray) -> dict:
    text = base64.b64encode(array.tobytes()).decode()
    return {"b64": text, "dtype": array.dtype.str, "shape": list(array.shape)}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]])),
        ([1.5], np.array([1.5])),
        (3, np.array(3)),
        ([], np.array([])),
        ([True, False], np.array([True, False])),
        (packed(np.array([1, 2], ">i2")), np.array([1, 2], np.int16)),
        (base64.b64encode(write_npy(np.array([1, 2]))).decode(), np.array([1, 2])),
        ({"b64": base64.b64encode(write_npy(np.eye(2))).decode(), "name": "x.npy"}, np.eye(2)),
    ],
)
def test_json_forms_of_an_array(value, expected):
    found = load(ARRAY, value)
    assert found.dtype == expected.dtype and found.tolist() == expected.tolist()
    assert found.flags.writeable
    jsonschema.validate({"x": value}, ARRAY.input)


def npy(header: str) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([[1], [1, 2]], "same length"),
        (["a"], "must be numbers"),
        ([1, "a"], "must be numbers"),
        ([{}], "must be numbers"),
        ({"a": 1}, "must be an array"),
        ([None, 1.0], "finite"),
        ({"b64": "AAA=", "dtype": "float32", "shape": [1]}, "2 bytes"),
        ({"b64": "AAAA", "dtype": "O", "shape": [1]}, "dtype"),
        ({"b64": "AAAA", "dtype": "V3", "shape": [1]}, "dtype"),
        ({"b64": "AAAA", "dtype": "i1,i2", "shape": [1]}, "dtype"),
        ({"b64": "AAAA", "dtype": 3, "shape": [1]}, "dtype"),
        ({"b64": "AAAA", "dtype": "uint8", "shape": [-3]}, "shape"),
        ({"b64": "AAAA", "dtype": "uint8", "shape": 3}, "shape"),
        ({"b64": "AAAA", "dtype": "uint8", "shape": [10**9, 10**9]}, "bytes"),
        ({"b64": "AAAA", "dtype": "uint8", "shape": [3], "x": 1}, "exactly"),
        (packed(np.array([np.nan])), "finite"),
        (ml.Upload(b""), "npy"),
        (ml.Upload(write_npy(np.eye(3))[:-1]), "truncated"),
        (
            ml.Upload(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,)}")),
            "truncated",
        ),
        (ml.Upload(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}")), "number"),
        (ml.Upload(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}")), "shape"),
        (ml.Upload(npy("__import__('os')")), "npy"),
    ],
)
def test_what_is_no_array_is_refused(value, said):
    assert said in refused(ARRAY, value)


def test_pickled_arrays_are_refused():
    target = io.BytesIO()
    np.save(target, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "number" in refused(ARRAY, ml.Upload(target.getvalue()))


def _points(x: Annotated[np.ndarray, ml.Array("float32", (None, 3))]): ...


POINTS = Schema.of(_points)


def test_dtype_and_shape_are_kept():
    found = load(POINTS, [[1, 2, 3]])
    assert found.dtype == np.float32 and found.shape == (1, 3)
    own = POINTS.input["properties"]["x"]["x-easymlnb"]
    assert (own["dtype"], own["shape"]) == ("float32", [None, 3])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"x": [[1, 2]]}, POINTS.input)
    for value, said in [
        ([[1, 2]], "any x 3, not 1 x 2"),
        ([1, 2, 3], "not 3"),
        ([[1, 2, 1e39]], "finite"),
    ]:
        assert said in refused(POINTS, value)


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("uint8", [0, 255], [256]),
        ("uint8", [1], [-1]),
        ("int64", [1], [1.5]),
        ("bool", [True], [2]),
    ],
)
def test_conversions_lose_no_numbers(dtype, good, bad):
    def f(x: ml.Array(dtype)): ...

    assert load(Schema.of(f), good).dtype == dtype
    assert refused(Schema.of(f), bad)


def test_ndarray_hints_name_their_dtype():
    def f(x: npt.NDArray[np.float32], y: npt.NDArray = None): ...

    schema = Schema.of(f)
    assert load(schema, [1, 2]).dtype == np.float32


NUMBERS = st.sampled_from(
    [np.bool_, np.int8, np.uint8, np.int32, np.int64, np.uint64, np.float32, np.float64]
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, max_side=4, min_side=0)


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_arrays_survive(data):
    dtype = data.draw(NUMBERS)
    array = data.draw(hnp.arrays(dtype, data.draw(SHAPES)))
    found = load(COMPACT, json.loads(COMPACT.dump(array)))
    assert found.dtype == array.dtype and found.shape == array.shape
    np.testing.assert_array_equal(found, array)
    found = codec.decode_request(COMPACT, NPY, codec.encode_response(COMPACT, array, NPY).body)["x"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@settings(deadline=None, max_examples=50)
@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(max_dims=3, max_side=4),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_nested_lists_survive(array):
    found = load(ARRAY, json.loads(ARRAY.dump(array)))
    assert found.tolist() == array.tolist()
    jsonschema.validate(json.loads(ARRAY.dump(array)), ARRAY.output)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=80))
def test_no_npy_raises_anything_but_a_sentence(data):
    for head in (b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00\x10\x00\x00\x00"):
        try:
            read_npy(head + data)
        except ValueError as error:
            assert str(error).endswith(".")


def test_columns_first_arrays_are_read():
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    assert read_npy(write_npy(array)).tolist() == array.tolist()


def test_nan_is_null_in_lists():
    assert ARRAY.dump(np.array([1.0, np.nan, np.inf])) == b"[1.0,null,null]"
    assert np.isnan(load(COMPACT, [1.0, None])[1])


@pytest.mark.parametrize(
    "array", [np.array([object()]), np.array([1j]), np.zeros(1, "i1,i2"), "x", {}]
)
def test_results_without_a_json_form_are_refused(array):
    with pytest.raises(ResultNotEncodable):
        ARRAY.dump(array)


def test_dates_are_written_as_text():
    assert ARRAY.dump(np.array(["2025-01-01"], "M8[D]")) == b'["2025-01-01"]'


def test_people_see_small_arrays_in_full_and_can_take_all():
    shown, file = presentation.to_parts(np.array([1.0, np.nan]))
    assert shown["kind"] == "json" and shown["data"] == [1.0, None]
    assert read_npy(base64.b64decode(file["data"]))[0] == 1.0
    assert presentation.to_parts(np.array(3.5))[0] == {"kind": "number", "title": "", "data": 3.5}
    assert presentation.to_parts(np.zeros(1000))[0]["data"] == "1000 numbers (float64)"
    assert presentation.to_parts(np.zeros((40, 40, 3), np.uint8))[0]["kind"] == "image"
    assert presentation.to_parts(np.arange(4096).reshape(64, 64))[0]["kind"] == "image"


def test_torch_tensors():
    torch = pytest.importorskip("torch")

    def f(
        x: torch.Tensor, y: Annotated[torch.Tensor, ml.Array("float32", (2,))] = None
    ) -> torch.Tensor: ...

    schema = Schema.of(f)
    found = schema.load_json(b'{"x": [[1, 2]], "y": [1, 2]}')
    assert found["x"].tolist() == [[1, 2]] and found["y"].dtype == torch.float32
    assert schema.dump(torch.ones(2, requires_grad=True)) == b"[1.0,1.0]"
    assert schema.dump(torch.ones(1, dtype=torch.bfloat16)) == b"[1.0]"
    assert schema.dump(found["x"]) == b"[[1,2]]"
    found["x"][0, 0] = 5


def test_numpy_scalars_are_plain_numbers():
    def f(x: np.float32, n: np.int64 = 1) -> np.float64: ...

    schema = Schema.of(f)
    assert schema.load_json(b'{"x": 1.5}') == {"x": 1.5, "n": 1}
    assert schema.dump(np.float64(2.5)) == b"2.5"
