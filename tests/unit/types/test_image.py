import base64
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Annotated

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import easymlnb.types as ml
from easymlnb.contract.errors import InvalidInput, NotAcceptable, ResultNotEncodable
from easymlnb.services import codec, presentation
from easymlnb.services.schema import Schema
from easymlnb.types import temp_files


def _array(x: Annotated[np.ndarray, ml.Image()]) -> Annotated[np.ndarray, ml.Image()]: ...
def _pillow(x: PIL.Image.Image) -> PIL.Image.Image: ...


ARRAY, PILLOW = Schema.of(_array), Schema.of(_pillow)


def saved(image, kind: str, **options) -> bytes:
    target = io.BytesIO()
    image = PIL.Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(target, kind, **options)
    return target.getvalue()


def refused(schema: Schema, data: bytes) -> str:
    with pytest.raises(InvalidInput) as error:
        schema.load({"x": ml.Upload(data)})
    return error.value.details[0]["message"]


SMALL = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 2, 3)])
def test_exact_formats_are_read(kind, shape):
    array = np.arange(12, dtype=np.uint8).reshape(shape)
    data = saved(array, kind)
    assert ARRAY.load({"x": ml.Upload(data)})["x"].tolist() == array.tolist()
    assert (
        codec.decode_request(ARRAY, f"image/{kind.lower()}", data)["x"].tolist() == array.tolist()
    )


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_everyday_formats_are_read(kind):
    found = PILLOW.load({"x": ml.Upload(saved(PIL.Image.new("RGB", (5, 3), "red"), kind))})["x"]
    assert found.size == (5, 3) and found.mode == "RGB"


def test_other_formats_and_other_things_are_refused():
    for data in (saved(SMALL, "GIF"), b"", b"%PDF-1.4", b"<svg/>", b"\x89PNG\r\n\x1a\n"):
        assert "image" in refused(ARRAY, data)


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_are_kept(order):
    values = np.array([[0, 1000], [40000, 65535]], np.uint16)
    tiff = io.BytesIO()
    import tifffile

    tifffile.imwrite(tiff, values, byteorder=order)
    for data in (tiff.getvalue(), saved(values, "PNG")):
        found = ARRAY.load({"x": ml.Upload(data)})["x"]
        assert found.dtype == np.uint16 and found.tolist() == values.tolist()


def test_palettes_become_colors():
    image = PIL.Image.new("P", (1, 1))
    image.putpalette([10, 20, 30])
    assert ARRAY.load({"x": ml.Upload(saved(image, "PNG"))})["x"].tolist() == [[[10, 20, 30]]]


def test_mode_converts_and_scales_deep_images():
    def f(x: Annotated[np.ndarray, ml.Image(mode="L")]): ...

    deep = np.array([[0, 500], [750, 1000]], np.uint16)
    found = Schema.of(f).load({"x": ml.Upload(saved(deep, "PNG"))})["x"]
    assert found.dtype == np.uint8 and found[0, 0] == 0 and found[1, 1] == 255


def test_photos_are_turned_upright():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    data = saved(PIL.Image.new("RGB", (4, 2)), "JPEG", exif=exif)
    assert PILLOW.load({"x": ml.Upload(data)})["x"].size == (2, 4)


def test_pages():
    def first(x: Annotated[np.ndarray, ml.Image()]): ...
    def pages(x: Annotated[np.ndarray, ml.Image(pages=True)]): ...
    def listed(x: Annotated[list, ml.Image(pages=True)]): ...

    images = [PIL.Image.fromarray(SMALL + n) for n in range(3)]
    data = saved(images[0], "TIFF", save_all=True, append_images=images[1:])
    upload = {"x": ml.Upload(data)}
    assert Schema.of(first).load(upload)["x"].tolist() == SMALL.tolist()
    assert Schema.of(pages).load(upload)["x"].tolist() == [(SMALL + n).tolist() for n in range(3)]
    assert [image.size for image in Schema.of(listed).load(upload)["x"]] == [(4, 3)] * 3


def test_truncated_images_are_refused():
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP"):
        noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        data = saved(noise, kind)
        for cut in (10, len(data) // 2):
            assert "image" in refused(ARRAY, data[:cut]).lower()


def lying_png(width: int, height: int) -> bytes:
    """A valid header that promises a large image, with next to no data behind it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(50_000, 50_000), (8_000, 6_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_by_their_header(size):
    assert "40 million pixels" in refused(ARRAY, lying_png(*size))


def test_images_that_lie_about_their_size_are_refused():
    assert "truncated" in refused(ARRAY, lying_png(100, 100))


def test_bombs_of_many_pages_are_refused():
    def f(x: Annotated[np.ndarray, ml.Image(pages=True, max_pixels=100)]): ...

    data = saved(
        PIL.Image.new("L", (8, 8)),
        "TIFF",
        save_all=True,
        append_images=[PIL.Image.new("L", (8, 8))],
    )
    assert "pixels" in refused(Schema.of(f), data)


def test_a_large_file_is_refused_before_it_is_decoded():
    def f(x: Annotated[np.ndarray, ml.Image(max_bytes=10)]): ...

    assert "10 bytes" in refused(Schema.of(f), saved(SMALL, "PNG"))


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60), st.sampled_from(["PNG", "TIFF", "BMP", "WEBP", "JPEG"]), st.data())
def test_damaged_images_never_raise_anything_else(junk, kind, data):
    good = bytearray(saved(SMALL, kind))
    at = data.draw(st.integers(0, len(good)))
    good[at : at + len(junk)] = junk
    try:
        ARRAY.load({"x": ml.Upload(bytes(good))})
    except InvalidInput as error:
        assert error.details[0]["field"] == "x"


DTYPES = st.sampled_from([np.bool_, np.uint8, np.uint16, np.int32, np.int64, np.uint32, np.float32])


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_every_value_survives(data):
    dtype = data.draw(DTYPES)
    elements = None
    if np.dtype(dtype).kind in "iu":
        low = 0 if np.dtype(dtype).kind == "u" else -(2**31)
        elements = st.integers(low, min(np.iinfo(dtype).max, 2**31 - 1))
    if np.dtype(dtype).kind == "f":
        elements = st.floats(allow_nan=False, allow_infinity=False, width=32)
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=6))
    array = data.draw(hnp.arrays(dtype, shape, elements=elements))
    back = ARRAY.load_json(json.dumps({"x": json.loads(ARRAY.dump(array))}).encode())["x"]
    assert back.tolist() == array.tolist()
    written = codec.encode_response(ARRAY, array, "image/*")
    assert (
        codec.decode_request(ARRAY, written.content_type, written.body)["x"].tolist()
        == array.tolist()
    )


@settings(deadline=None, max_examples=30)
@given(hnp.arrays(np.uint8, st.sampled_from([(2, 3, 3), (2, 3, 4), (1, 1, 3)])))
def test_colors_survive(array):
    for accept in ("image/png", "image/tiff"):
        written = codec.encode_response(ARRAY, array, accept)
        assert codec.decode_request(ARRAY, accept, written.body)["x"].tolist() == array.tolist()


def test_label_images_choose_a_format_that_holds_them():
    few, many = np.array([[0, 300]], np.int32), np.array([[0, 70_000]], np.int32)
    assert codec.encode_response(ARRAY, few, "image/*").content_type == "image/png"
    assert codec.encode_response(ARRAY, many, "image/*").content_type == "image/tiff"
    for accept in ("image/png", "image/jpeg"):
        with pytest.raises(NotAcceptable):
            codec.encode_response(ARRAY, many, accept)


@pytest.mark.parametrize("accept", ["image/jpeg", "image/webp"])
def test_everyday_results_are_written(accept):
    written = codec.encode_response(PILLOW, PIL.Image.new("RGBA", (3, 2)), accept)
    assert PIL.Image.open(io.BytesIO(written.body)).size == (3, 2)
    assert written.filename == f"image.{accept[6:]}"


@pytest.mark.parametrize(
    "value",
    [np.zeros((2, 2, 2, 2, 2)), np.zeros(3), np.array([[object()]]), np.array([[2**40]]),
     np.full((2, 2, 3), 300), np.zeros((0, 4)), "text", 3],
)  # fmt: skip
def test_what_is_no_image_is_refused(value):
    with pytest.raises(ResultNotEncodable):
        ARRAY.dump(value)


def test_fractions_are_colors():
    assert codec.encode_response(ARRAY, np.ones((1, 1, 3)), "image/png").content_type == "image/png"


def test_a_path_has_the_ending_of_what_it_is():
    def f(x: Annotated[Path, ml.Image()]) -> Annotated[Path, ml.Image()]: ...

    data = saved(SMALL, "PNG")
    with temp_files.scratch():
        path = Schema.of(f).load({"x": ml.Upload(data, "../photo.exe")})["x"]
        assert path.name == "photo.png" and path.read_bytes() == data
        assert Schema.of(f).dump(path).startswith(b'"data:image/png')


def test_webcam_is_an_image_with_another_widget():
    def f(x: ml.Webcam): ...

    schema = Schema.of(f)
    assert schema.input["properties"]["x"]["x-easymlnb"]["widget"] == "webcam"
    assert schema.load({"x": ml.Upload(saved(SMALL, "PNG"))})["x"].size == (4, 3)


def picture(part) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(part["data"]))))


def test_people_see_labels_in_colors_and_may_take_the_numbers():
    labels = np.array([[0, 1], [2, 70_000]], np.int32)
    shown, file = presentation.to_parts(labels, ARRAY)
    assert (shown["kind"], shown["media_type"], shown["more"]["labels"]) == (
        "image",
        "image/png",
        3,
    )
    colors = picture(shown)
    assert colors[0, 0].tolist() == [0, 0, 0]
    assert len({tuple(pixel) for pixel in colors.reshape(-1, 3)}) == 4
    assert file["kind"] == "file" and file["media_type"] == "image/tiff"
    assert picture(file).tolist() == labels.tolist()


def test_people_see_deep_images_scaled():
    deep = np.linspace(1000, 5000, 100).astype(np.uint16).reshape(10, 10)
    shown, file = presentation.to_parts(deep, ARRAY)
    assert picture(shown).min() == 0 and picture(shown).max() == 255
    assert picture(file).tolist() == deep.tolist()


def test_people_see_plain_images_as_they_are_and_large_ones_smaller():
    (shown,) = presentation.to_parts(SMALL, ARRAY)
    assert picture(shown).tolist() == SMALL.tolist()
    shown, file = presentation.to_parts(np.zeros((10, 3000), np.uint8), ARRAY)
    assert picture(shown).shape[1] == 2000 and picture(file).shape == (10, 3000)


def test_nan_in_a_picture_is_shown_dark():
    shown, _ = presentation.to_parts(np.array([[np.nan, 1.0], [2.0, 3.0]], np.float32), ARRAY)
    assert picture(shown)[0, 0] == 0
