"""Images of every kind that cameras and numpy write: how they are turned, what they hold."""

import io
from pathlib import Path
from typing import Annotated

import numpy as np
import PIL.Image
import pytest

import easymlnb.types as ml
from easymlnb.contract.errors import InvalidInput
from easymlnb.services import codec
from easymlnb.services.schema import Schema
from easymlnb.types import deep, temp_files


def _array(x: Annotated[np.ndarray, ml.Image()]) -> Annotated[np.ndarray, ml.Image()]: ...
def _pillow(x: PIL.Image.Image) -> PIL.Image.Image: ...
def _path(x: Annotated[Path, ml.Image()]) -> Annotated[Path, ml.Image()]: ...
def _pages(x: Annotated[np.ndarray, ml.Image(pages=True)]): ...
def _eight(x: Annotated[PIL.Image.Image, ml.Image(mode="RGB")]): ...


ARRAY, PILLOW, PATH, PAGES, EIGHT = map(Schema.of, (_array, _pillow, _path, _pages, _eight))


def read(schema: Schema, data: bytes):
    return schema.load({"x": ml.Upload(data)})["x"]


def refused(schema: Schema, data: bytes) -> str:
    with pytest.raises(InvalidInput) as error:
        read(schema, data)
    return error.value.details[0]["message"]


def saved(image: PIL.Image.Image, kind: str, **options) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def tiff(array: np.ndarray, **options) -> bytes:
    import tifffile

    target = io.BytesIO()
    tifffile.imwrite(target, array, **options)
    return target.getvalue()


def held(orientation: int) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[274] = orientation
    return exif


# how a camera was held

# Two colors, so that no compression changes which quarter is which.
QUARTERS = PIL.Image.fromarray(np.kron([[255, 0, 0], [0, 0, 255]], np.ones((16, 16))).astype("u1"))
PHOTOGRAPHED = ("JPEG", "MPO", "PNG", "WEBP", "TIFF")


def photo(kind: str, orientation: int) -> bytes:
    image = QUARTERS.convert("RGB")
    # A telephone's second picture: its other lens, or how bright the first one is.
    more = {"append_images": [image.resize((24, 16))], "save_all": True} if kind == "MPO" else {}
    return saved(image, kind, exif=held(orientation), **more)


@pytest.mark.parametrize("kind", PHOTOGRAPHED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright_whatever_their_format(kind, orientation):
    from PIL import ImageOps

    image = QUARTERS.convert("RGB")
    image.getexif()[274] = orientation
    expected = np.array(ImageOps.exif_transpose(image)) > 127
    data = photo(kind, orientation)
    assert np.array_equal(read(ARRAY, data) > 127, expected)
    assert np.array_equal(np.array(read(PILLOW, data)) > 127, expected)
    # A client or a default gives Pillow's own, not yet turned.
    native = PIL.Image.open(io.BytesIO(data))
    assert np.array_equal(np.array(PILLOW.load({"x": native})["x"]) > 127, expected)
    written = codec.encode_response(PILLOW, PIL.Image.open(io.BytesIO(data)), "image/png")
    assert np.array_equal(np.array(PIL.Image.open(io.BytesIO(written.body))) > 127, expected)


def test_deep_pictures_are_turned_upright_too():
    deep_gray = PIL.Image.fromarray(np.array([[1, 2, 3], [4, 5, 60000]], np.uint16))
    for kind in ("PNG", "TIFF"):
        data = saved(deep_gray, kind, exif=held(6))
        assert read(ARRAY, data).tolist() == [[4, 1], [5, 2], [60000, 3]]
    numbers = np.array([[1.5, 2], [3, 4], [5, 6]])
    data = tiff(numbers, extratags=[(274, 3, 1, 8, True)])
    assert np.array_equal(read(ARRAY, data), np.rot90(numbers))


def test_a_picture_of_a_telephone_is_a_jpeg_of_one_page():
    data = photo("MPO", 6)
    assert PIL.Image.open(io.BytesIO(data)).n_frames == 2
    with temp_files.scratch():
        path = read(PATH, data)
        assert path.name == "image.jpg" and path.read_bytes() == data
        assert PATH.dump(path).startswith(b'"data:image/png')
    assert read(PAGES, data).shape == (1, 48, 32, 3)


def test_a_picture_with_damaged_exif_data_is_read():
    data = saved(QUARTERS, "JPEG", exif=b"Exif\0\0" + b"nonsense")
    assert read(ARRAY, data).shape == (32, 48)


def test_a_page_that_is_a_small_copy_of_another_is_no_page():
    import tifffile

    for kind in ("uint8", "float64"):
        target = io.BytesIO()
        with tifffile.TiffWriter(target) as writer:
            writer.write(np.full((4, 6), 7, kind))
            writer.write(np.full((2, 3), 7, kind), subfiletype=1)
        assert read(PAGES, target.getvalue()).shape == (1, 4, 6)


# sixteen bits of color


def colors(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).integers(0, 2**16, (5, 7, samples), np.uint16)


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_colors_of_sixteen_bits_are_kept(samples):
    array = colors(samples)
    found = read(ARRAY, deep.write_png(array))
    assert found.dtype == np.uint16 and np.array_equal(found, array)
    if samples > 2:
        for order in "<>":
            for more in ({}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}):
                data = tiff(array, photometric="rgb", byteorder=order, **more)
                assert np.array_equal(read(ARRAY, data), array)


def test_what_we_write_is_what_other_readers_read():
    array = colors(3)
    # Pillow reads the high byte of each number.
    written = codec.encode_response(ARRAY, array, "image/*")
    assert written.content_type == "image/png"
    high = np.array(PIL.Image.open(io.BytesIO(written.body)))
    assert np.array_equal(high, array >> 8)
    assert np.array_equal(read(ARRAY, written.body), array)
    assert np.array_equal(ARRAY.load_json(b'{"x": %s}' % ARRAY.dump(array))["x"], array)


def test_what_pillow_cannot_hold_is_refused_with_the_reason():
    assert "16 bits per color" in refused(PILLOW, deep.write_png(colors(3)))
    assert "64 bits per color" in refused(PILLOW, tiff(np.ones((4, 5, 3)), photometric="rgb"))
    found = read(EIGHT, deep.write_png(np.full((2, 2, 3), 65535, np.uint16)))
    assert found.mode == "RGB" and found.getpixel((0, 0)) == (255, 255, 255)
    assert read(EIGHT, tiff(np.eye(3), photometric="minisblack")).getpixel((0, 0)) == (255,) * 3


# numpy's numbers

NUMBERS = ("int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FRACTIONS = ("float16", "float32", "float64")


def sample(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    random = np.random.default_rng(1)
    if np.dtype(kind).kind == "f":
        return random.normal(size=shape).astype(kind)
    bounds = np.iinfo(kind)
    return random.integers(bounds.min, bounds.max, shape, kind, endpoint=True)


@pytest.mark.parametrize("kind", [*NUMBERS, *FRACTIONS])
@pytest.mark.parametrize("shape", [(50, 70), (50, 70, 3), (3, 50, 70)])
def test_a_tiff_of_any_of_numpys_types_is_read(kind, shape):
    array = sample(kind, shape)
    own = {"photometric": "rgb"} if len(shape) == 3 else {}
    if shape[0] == 3:
        own["planarconfig"] = "separate"
    wanted = np.moveaxis(array, 0, -1) if shape[0] == 3 else array
    for order in "<>":
        for more in ({}, {"rowsperstrip": 7}, {"compression": "zlib"}, {"tile": (16, 32)}):
            found = read(ARRAY, tiff(array, byteorder=order, **own, **more))
            assert np.array_equal(found, wanted), (order, more)
            assert found.dtype.isnative
            assert found.dtype == kind or (kind, found.dtype) == ("int16", np.int32)


@pytest.mark.parametrize("kind", ["int8", "int32", "uint32"])
def test_numbers_that_were_written_as_differences_are_read(kind):
    array = sample(kind, (50, 70))
    for order in "<>":
        data = tiff(array, byteorder=order, compression="zlib", predictor=True)
        assert np.array_equal(read(ARRAY, data), array)


def test_fractions_that_were_written_as_differences_are_read():
    from easymlnb.types.tiff import pages

    array = sample("float32", (50, 70))
    data = saved(
        PIL.Image.fromarray(array), "TIFF", compression="tiff_adobe_deflate", tiffinfo={317: 3}
    )
    (page,) = pages(data)
    assert np.array_equal(page.array(), array)


def test_all_pages_of_such_a_tiff_are_read():
    array = sample("float64", (3, 4, 5))
    assert np.array_equal(read(PAGES, tiff(array, photometric="minisblack")), array)
    assert read(ARRAY, tiff(array, photometric="minisblack")).shape == (4, 5)


def test_what_is_not_read_is_refused_with_its_name():
    assert "sample format 6" in refused(ARRAY, tiff(np.ones((4, 5), np.complex64)))
    squeezed = bytearray(tiff(np.ones((4, 5)), compression="zlib"))
    at = squeezed.index(b"\x03\x01\x03\0\x01\0\0\0") + 8
    squeezed[at] = 5
    assert "compressed with LZW" in refused(ARRAY, bytes(squeezed))
    assert "5 samples per pixel" in refused(
        ARRAY, tiff(np.ones((4, 6, 5)), photometric="minisblack", planarconfig="contig")
    )
    assert "HEIC" in refused(ARRAY, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert "pixel format" in refused(ARRAY, tiff(np.ones((4, 5), "u1"), photometric=32803))


def test_a_tiff_that_promises_more_than_it_holds_is_refused():
    data = tiff(np.ones((40, 50)))
    assert "truncated" in refused(ARRAY, data[: len(data) // 2])
    bomb = bytearray(tiff(np.zeros((40, 50)), compression="zlib"))
    width = bomb.index(b"\0\x01\x04\0\x01\0\0\0") + 8
    for size, said in ((60_000, "truncated"), (2**31, "million pixels")):
        bomb[width : width + 4] = size.to_bytes(4, "little")
        assert said in refused(ARRAY, bytes(bomb))
