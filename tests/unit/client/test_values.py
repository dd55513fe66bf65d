"""Arguments on their way out, results on their way in."""

import base64
import datetime
import decimal
import enum
import io
import json
import subprocess
import sys
import uuid
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from easymlnb.client.decoding import DownloadedFile, accept, decode, revive
from easymlnb.client.encoding import ARROW, FilePart, convert, encode_arguments
from easymlnb.services import codec
from easymlnb.services.schema import Schema as ServiceSchema
from easymlnb.types import Image as ImageType
from easymlnb.types import Upload
from easymlnb.types.image_encoding import to_array

IMAGE = {"widget": "image"}
ARRAY = {"widget": "array"}
TABLE = {"widget": "table"}


class Color(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    at: datetime.date


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        ("a", "a"),
        ((1, [2]), [1, [2]]),
        ({"a": {1: 2}}, {"a": {"1": 2}}),
        (range(3), [0, 1, 2]),
        (Color.RED, "red"),
        (Point(1, datetime.date(2024, 2, 3)), {"x": 1, "at": "2024-02-03"}),
        (datetime.datetime(2024, 2, 3, 4, 5), "2024-02-03T04:05:00"),
        (datetime.timedelta(minutes=1), 60.0),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.array([[1, 2]]), [[1, 2]]),
        (pd.Series([1, 2]), [1, 2]),
        (pd.DataFrame({"a": [1.5, None]}), [{"a": 1.5}, {"a": None}]),
    ],
)
def test_plain_values_become_json(value, sent):
    found = convert(value)
    assert found == sent
    json.dumps(found, allow_nan=False)


def test_an_array_parameter_takes_bytes_dtype_and_shape():
    found = convert(np.arange(6, dtype=">i4").reshape(2, 3)[:, ::2], ARRAY)
    assert found["dtype"] == "int32" and found["shape"] == [2, 2]
    data = np.frombuffer(base64.b64decode(found["b64"]), "<i4")
    assert data.tolist() == [0, 2, 3, 5]


def test_a_large_array_is_a_file_where_files_are_read():
    array = np.random.default_rng(1).random((100, 100))
    part = convert(array, ARRAY | {"accept": ["application/x-npy"]})
    assert (part.name, part.media_type) == ("array.npy", "application/x-npy")
    assert np.array_equal(np.load(io.BytesIO(part.data)), array)
    assert convert(array, ARRAY)["shape"] == [100, 100]


def test_a_tensor_is_an_array():
    torch = pytest.importorskip("torch")
    found = convert(torch.ones(2, requires_grad=True), ARRAY)
    assert found["shape"] == [2] and found["dtype"] == "float32"


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (np.zeros((4, 5), "uint8"), "image/png"),
        (np.zeros((4, 5, 3), "uint8"), "image/png"),
        (np.full((4, 5), 60000, "uint16"), "image/png"),
        (np.full((4, 5), 0.25, "float32"), "image/tiff"),
    ],
)
def test_an_image_parameter_takes_arrays_and_keeps_their_values(pixels, kind):
    part = convert(pixels, IMAGE)
    assert part.media_type == kind
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(part.data))), pixels)


MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB",
         "HSV", "I", "I;16", "I;16B", "F"]  # fmt: skip


def received(part: FilePart, kind: type = np.ndarray) -> Any:
    """Return what a service gets for a part."""
    return ImageType().decode(Upload(part.data, part.name, part.media_type), kind)


@pytest.mark.parametrize("mode", MODES)
def test_images_of_every_mode_can_be_sent(mode):
    image = Image.new("RGB", (3, 2), (200, 100, 50)).convert("L" if mode[0] in "IF" else "RGB")
    image = image.convert("F").convert("I").convert(mode) if mode[0] == "I" else _as(image, mode)
    part = convert(image, IMAGE)
    assert received(part, Image.Image).size == (3, 2)
    assert np.array_equal(received(part), to_array(image))


def _as(image: Image.Image, mode: str) -> Image.Image:
    through = {"La": "LA", "RGBa": "RGBA", "LAB": "", "PA": "LA"}.get(mode)
    if mode == "LAB":
        return Image.new("LAB", image.size)
    return (image.convert(through) if through else image).convert(mode)


@pytest.mark.parametrize(
    "pixels",
    [
        np.array([[0, 300], [1, 2]]),
        np.array([[0, 70_000], [-1, 2]]),
        np.array([[0, 70_000]], "uint32"),
        np.full((4, 5, 1), 200, "uint8"),
        np.full((4, 5, 1), 0.25),
        np.full((4, 5, 3), 51 / 255),
        np.full((4, 5, 3), 60_000, "uint16"),
        np.full((4, 5, 4), 250, "int64"),
        np.full((4, 5), -0.25, "float64"),
        np.eye(4, dtype="float16"),
        np.eye(4, dtype=bool),
        np.full((3, 4, 5), 7, "uint8"),
        np.full((2, 4, 5, 3), 7, "uint8"),
    ],
)
def test_arrays_are_sent_as_the_server_would_write_them(pixels):
    part = convert(pixels, IMAGE)
    pages = pixels.ndim == 4 or (pixels.ndim == 3 and pixels.shape[-1] > 4)
    kind = ImageType(pages=pages)
    found = kind.decode(Upload(part.data), np.ndarray)
    expected = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    if expected.ndim == 3 and expected.dtype.kind == "f":
        expected = expected * 255
    assert np.array_equal(found, expected)
    # And what a service returned is sent to the next one.
    written = kind.write(found, kind.offers(found)[0])
    result = decode(kind.offers(found)[0], written, {"x-easymlnb": IMAGE})
    again = convert(result, IMAGE)
    assert np.array_equal(kind.decode(Upload(again.data), np.ndarray), expected)


def test_a_tensor_is_an_image_with_its_colors_first():
    torch = pytest.importorskip("torch")
    part = convert(torch.full((3, 4, 5), 0.2, dtype=torch.bfloat16, requires_grad=True), IMAGE)
    assert received(part).shape == (4, 5, 3)


def test_a_photo_is_sent_upright():
    image = Image.new("RGB", (3, 2))
    image.getexif()[274] = 6
    assert received(convert(image, IMAGE)).shape == (3, 2, 3)


def test_images_inside_lists_dicts_and_dataclasses_are_images():
    place = {"x-easymlnb": IMAGE}
    schema = {
        "properties": {
            "several": {"type": "array", "items": {"anyOf": [place, {"type": "null"}]}},
            "named": {"type": "object", "additionalProperties": place},
            "point": {"$ref": "#/$defs/P"},
        },
        "$defs": {"P": {"type": "object", "properties": {"x": place, "at": {"type": "string"}}}},
    }
    mask = np.array([[0, 70_000]])
    values = {
        "several": [mask, None],
        "named": {"a": mask},
        "point": Point(mask, datetime.date(2024, 2, 3)),
    }
    found = encode_arguments(values, schema)
    assert found["several"][1] is None and found["point"]["at"] == "2024-02-03"
    for one in (found["several"][0], found["named"]["a"], found["point"]["x"]):
        assert ImageType().decode(one, np.ndarray).tolist() == mask.tolist()


@pytest.mark.parametrize(
    "value",
    [np.array([[2**40]]), np.zeros(3), np.full((2, 2, 3), 300), np.zeros((0, 4)),
     np.array([["a"]]), np.full((2, 2), 1e300), [np.zeros((2, 2)), np.zeros(3)]],
)  # fmt: skip
def test_what_is_no_image_is_refused_by_name_before_it_is_sent(value):
    with pytest.raises(TypeError, match=r"mask: .+ image"):
        encode_arguments({"mask": value}, {"properties": {"mask": {"x-easymlnb": IMAGE}}})


@pytest.mark.parametrize(
    "value",
    [np.full((2, 3), 0.25, "float32"), np.full((2, 3), 70_000), np.full((2, 3), 7, "uint8"),
     np.full((2, 3, 3), 999, "uint16"), np.full((2, 4, 5), 70_000), None],
)  # fmt: skip
def test_any_image_that_a_service_returns_comes_to_the_client(value):
    def mask() -> Annotated[np.ndarray, ImageType()] | None: ...

    schema = ServiceSchema.of(mask)
    written = codec.encode_response(
        schema, value, accept(schema.output, ("image/png", "image/tiff"))
    )
    found = decode(written.content_type, bytes(written.body), schema.output)
    if value is None:
        assert found is None
    else:
        assert np.array_equal(to_array(found), value)


def test_a_picture_that_pillow_does_not_know_stays_a_file():
    svg = b"<svg/>"
    assert decode("image/svg+xml", svg, {}, "a.svg") == DownloadedFile(
        svg, "a.svg", "image/svg+xml"
    )


def test_a_table_goes_as_csv_with_an_index_that_says_something():
    frame = pd.DataFrame({"load": [1.5]}, index=pd.date_range("2024", periods=1, tz="UTC"))
    part = convert(frame, {"widget": "timeseries", "time": "utc"})
    assert part.media_type == "text/csv"
    assert part.data.decode().splitlines()[0] == "utc,load"
    assert convert(pd.DataFrame({"a": [1]}), TABLE).data == b"a\n1\n"
    assert convert(pd.Series([1], name="b"), TABLE).data == b"b\n1\n"


def test_a_table_goes_as_arrow_where_it_is_read():
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": [1, 2], "when": pd.to_datetime(["2024-01-01", None])})
    part = convert(frame, TABLE | {"accept": [ARROW]})
    assert part.media_type == ARROW
    pd.testing.assert_frame_equal(decode(ARROW, part.data, {}), frame)


def test_files_keep_name_and_kind(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(b"1")
    assert convert(path) == FilePart(b"1", "x.png", "image/png")
    with path.open("rb") as file:
        assert convert(file) == FilePart(b"1", "x.png", "image/png")
    assert convert(io.StringIO("é")).data == "é".encode()
    assert convert(FilePart(b"3", "y.tif", "image/tiff")).name == "y.tif"
    assert convert(b"2").data == convert(bytearray(b"2")).data == b"2"


def test_files_inside_other_values_go_as_json():
    found = convert([b"1"])
    assert found == [{"name": "file", "media_type": "application/octet-stream", "b64": "MQ=="}]


def test_what_cannot_be_sent_names_its_parameter():
    with pytest.raises(TypeError, match="model: a value of type object cannot be sent"):
        encode_arguments({"model": object()}, {"properties": {}})


def test_the_schema_of_a_parameter_is_found_through_references_and_unions():
    schema = {
        "properties": {"a": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}},
        "$defs": {"A": {"x-easymlnb": ARRAY}},
    }
    assert encode_arguments({"a": np.ones(1)}, schema)["a"]["shape"] == [1]


# results


def png(size: tuple[int, int]) -> bytes:
    return convert(Image.new("L", size), IMAGE).data


def uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_results_become_objects_as_the_schema_says():
    schema = {
        "type": "object",
        "properties": {
            "image": {"x-easymlnb": IMAGE},
            "masks": {"type": "array", "items": {"$ref": "#/$defs/Mask"}},
            "table": {"anyOf": [{"x-easymlnb": TABLE}, {"type": "null"}]},
            "file": {"x-easymlnb": {"widget": "file"}},
            "none": {"x-easymlnb": IMAGE},
            "count": {"type": "integer"},
        },
        "$defs": {"Mask": {"x-easymlnb": ARRAY}},
    }
    value = {
        "image": uri(png((3, 2)), "image/png"),
        "masks": [convert(np.eye(2, dtype="uint8"), ARRAY), [[1.0]]],
        "table": [{"a": 1}],
        "file": {"name": "r.json", "media_type": "application/json", "b64": "e30="},
        "none": None,
        "count": 2,
    }
    found = revive(value, schema)
    assert found["image"].size == (3, 2)
    assert np.array_equal(found["masks"][0], np.eye(2)) and found["masks"][1].shape == (1, 1)
    found["masks"][0][0, 0] = 9  # results may be changed in place
    assert found["table"].a.tolist() == [1]
    assert found["file"] == DownloadedFile(b"{}", "r.json", "application/json")
    assert found["none"] is None and found["count"] == 2


def test_several_results_are_told_apart():
    schema = {"prefixItems": [{"x-easymlnb": ARRAY}, {"type": "integer"}], "type": "array"}
    found = revive([[1, 2], 3, 4], schema)
    assert isinstance(found[0], np.ndarray) and found[1:] == [3, 4]


@pytest.mark.parametrize("value", ["no image", {"b64": "!"}, 7, ["x"]])
def test_what_breaks_its_schema_is_returned_as_it_is(value):
    assert revive(value, {"x-easymlnb": IMAGE}) == value


def test_bodies_are_read_by_their_type():
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    assert decode("application/json", b"[1]", {}) == [1]
    assert decode("", b"", {}) is None
    assert decode("image/png", png((4, 1)), {}).size == (4, 1)
    assert decode("text/csv; charset=utf-8", b"a,b\n1,2\n", {}).b.tolist() == [2]
    assert decode("text/plain", b"hi", {}) == "hi"
    assert decode("application/x-npy", buffer.getvalue(), {}).tolist() == [0, 1, 2]
    assert decode("application/zip", b"PK", {}, "a.zip") == DownloadedFile(
        b"PK", "a.zip", "application/zip"
    )


def test_pickles_in_arrays_are_refused():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        decode("application/x-npy", buffer.getvalue(), {})


def test_a_download_stays_in_its_folder(tmp_path):
    saved = DownloadedFile(b"1", "../../evil").save(tmp_path)
    assert saved == tmp_path / "evil" and saved.read_bytes() == b"1"
    assert DownloadedFile(b"2", "..").save(tmp_path / "b").read_bytes() == b"2"


@pytest.mark.parametrize(
    ("widget", "produces", "wanted"),
    [
        # Which of them holds the values, only the service knows; and there may be none.
        ("image", ("image/png", "image/tiff"), "image/*, application/json;q=0.1"),
        ("array", ("application/x-npy",), "application/x-npy, application/json;q=0.1"),
        ("array", (), ""),
        ("text", ("text/plain",), ""),
    ],
)
def test_binary_answers_are_asked_for_where_they_help(widget, produces, wanted):
    assert accept({"x-easymlnb": {"widget": widget}}, produces) == wanted


def test_plain_values_need_no_heavy_package():
    heavy = ("numpy", "pandas", "PIL", "torch", "pyarrow", "IPython", "ipywidgets")
    code = (
        "import sys\n"
        "from easymlnb.client.encoding import encode_arguments\n"
        "from easymlnb.client import Client\n"
        "encode_arguments({'a': [1, {'b': 'c'}]}, {})\n"
        f"sys.exit(' '.join(sorted(set(sys.modules) & set({heavy!r}))) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
