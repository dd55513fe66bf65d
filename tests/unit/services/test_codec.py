import contextlib
import io
import json
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import easymlnb.types as ml
from easymlnb.contract.errors import (
    BadRequest,
    EasyMLNBError,
    InvalidInput,
    NotAcceptable,
    ResultNotEncodable,
    TooLarge,
    UnsupportedMediaType,
)
from easymlnb.services import codec
from easymlnb.services.schema import Schema
from easymlnb.types.media_types import choose
from easymlnb.types.temp_files import MAX_NAME, safe_filename

BOUNDARY = "7d1f"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def form(*parts: tuple) -> bytes:
    """Write parts ``(name, value)`` or ``(name, value, filename, media type)`` as curl does."""
    found = b""
    for name, value, *file in parts:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
        if file:
            head += f'; filename="{file[0]}"\r\nContent-Type: {file[1]}'
        data = value if isinstance(value, bytes) else str(value).encode()
        found += head.encode() + b"\r\n\r\n" + data + b"\r\n"
    return found + f"--{BOUNDARY}--\r\n".encode()


def png(mode: str = "L", size: tuple[int, int] = (3, 2)) -> bytes:
    target = io.BytesIO()
    PIL.Image.new(mode, size, 7).save(target, "PNG")
    return target.getvalue()


@dataclass
class Point:
    x: float


def plain(
    sides: int,
    flag: bool = False,
    rate: float = 1.0,
    note: str = "",
    numbers: list[int] = [],  # noqa: B006
    names: list[str] = [],  # noqa: B006
    point: Point | None = None,
    anything: Any = None,
    maybe: int | None = 5,
): ...


PLAIN = Schema.of(plain)


@pytest.mark.parametrize(
    ("parts", "name", "value"),
    [
        ([], "sides", 6),
        ([("flag", "true")], "flag", True),
        ([("flag", "0")], "flag", False),
        ([("rate", "2.5")], "rate", 2.5),
        ([("note", "5")], "note", "5"),
        ([("note", "[1]")], "note", "[1]"),
        ([("note", "")], "note", ""),
        ([("note", "grün".encode())], "note", "grün"),
        ([("note", b"from a file", "a.txt", "text/plain")], "note", "from a file"),
        ([("numbers", "1"), ("numbers", "2")], "numbers", [1, 2]),
        ([("numbers", "[1, 2]")], "numbers", [1, 2]),
        ([("numbers", "7")], "numbers", [7]),
        ([("names", "1"), ("names", "[x]")], "names", ["1", "[x]"]),
        ([("names", "1")], "names", ["1"]),
        ([("names", '["a", "b"]')], "names", ["a", "b"]),
        ([("point", '{"x": 1}')], "point", Point(1.0)),
        ([("point", "null")], "point", None),
        ([("anything", '{"a": [1]}')], "anything", {"a": [1]}),
        ([("anything", "word")], "anything", "word"),
        ([("maybe", "")], "maybe", None),
        ([("maybe", "7")], "maybe", 7),
    ],
)
def test_form_fields_become_values(parts, name, value):
    found = codec.decode_request(PLAIN, FORM, form(("sides", "6"), *parts))
    assert found[name] == value and found["sides"] == 6


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ([("sides", "six")], "sides"),
        ([("sides", "6"), ("sides", "7")], "sides"),
        ([("sides", "6"), ("rate", "nan")], "rate"),
        ([("sides", "6"), ("rate", "1e999")], "rate"),
        ([("sides", "6"), ("other", "1")], "other"),
        ([("sides", "6"), ("point", '{"x": "a"}')], "point.x"),
        ([("sides", "6"), ("anything", "[1e999]")], "anything"),
        ([], "sides"),
    ],
)
def test_wrong_form_fields_are_named(parts, field):
    with pytest.raises(InvalidInput) as error:
        codec.decode_request(PLAIN, FORM, form(*parts, ("note", "x")))
    assert [item["field"] for item in error.value.details] == [field]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", form(("sides", "6"))),
        (FORM, b""),
        (FORM, b"no boundary here"),
        (FORM, form(("sides", "6"))[:-20]),
        (FORM, form(("sides", b"\xff"))),
        (FORM, form(("sides", "[" * 100_000))[:-30]),
    ],
)
def test_broken_forms_are_bad_requests(content_type, body):
    with pytest.raises(BadRequest):
        codec.decode_request(PLAIN, content_type, body)


def test_forms_have_limits():
    with pytest.raises(TooLarge):
        codec.decode_request(PLAIN, FORM, form(*[("numbers", "1")] * 2000))


def test_deep_json_in_a_form_is_refused():
    with pytest.raises(InvalidInput):
        codec.decode_request(PLAIN, FORM, form(("sides", "6"), ("numbers", "[" * 100_000)))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_no_form_raises_anything_but_our_errors(body):
    for data in (body, form(("sides", body)), form(("note", body, "x", "image/png"))):
        with contextlib.suppress(EasyMLNBError):
            codec.decode_request(PLAIN, FORM, data)


def _every(
    text: ml.LongText,
    number: ml.Number(0, 1),
    whole: Annotated[int, ml.Slider(2, 100)],
    chosen: ml.MultipleChoice(list("abc")),
    color: ml.Color,
    flag: bool,
): ...


EVERY = Schema.of(_every)


@settings(deadline=None, max_examples=50)
@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(0, 1),
    st.integers(2, 100),
    st.lists(st.sampled_from("abc"), unique=True),
    st.integers(0, 2**24 - 1),
    st.booleans(),
)
def test_values_survive_json_and_forms(text, number, whole, chosen, color, flag):
    values = {
        "text": text,
        "number": number,
        "whole": whole,
        "chosen": chosen,
        "color": f"#{color:06x}",
        "flag": flag,
    }
    assert EVERY.load_json(json.dumps(values).encode()) == values
    assert EVERY.encode_input(values) == values
    parts = [(n, v if isinstance(v, str) else json.dumps(v)) for n, v in values.items()]
    assert codec.decode_request(EVERY, FORM, form(*parts)) == values


def test_file_parts_reach_types_with_name_and_media_type():
    def f(file: ml.File, pictures: list[ml.Image], data: bytes, n: int = 1): ...

    found = codec.decode_request(
        Schema.of(f),
        FORM,
        form(
            ("file", b"\x00\xff", "../../etc/passwd", "application/x-thing"),
            ("pictures", png(), "a.png", "image/png"),
            ("pictures", png(size=(1, 1)), "b.png", "image/png"),
            ("data", b"\xff\x00", "d.bin", "application/octet-stream"),
            ("n", "3"),
        ),
    )
    assert found["file"] == ml.File(b"\x00\xff", "passwd", "application/x-thing")
    assert [image.size for image in found["pictures"]] == [(3, 2), (1, 1)]
    assert found["data"] == b"\xff\x00" and found["n"] == 3


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=6), st.binary(max_size=50))
def test_arrays_tables_images_and_files_survive_forms(numbers, data):
    array = np.array([numbers], np.uint8)
    frame = pd.DataFrame({"a": numbers})
    values = {"array": array, "table": frame, "image": array, "file": ml.File(data, "f.bin")}
    for accept in ({}, {"array": "application/x-npy", "table": "text/csv", "image": "image/png"}):
        parts = []
        for name, value in values.items():
            written = codec.encode_response(ONE_EACH[name], value, accept.get(name, ""))
            if name in accept:
                parts.append((name, written.body, "x", written.content_type))
            else:
                text = json.loads(written.body)
                parts.append((name, text if isinstance(text, str) else written.body))
        found = codec.decode_request(ALL, FORM, form(*parts))
        assert found["array"].tolist() == found["image"].tolist() == [numbers]
        pd.testing.assert_frame_equal(found["table"], frame)
        assert found["file"] == ml.File(data, "f.bin")


def _all(
    array: np.ndarray,
    table: pd.DataFrame,
    image: Annotated[np.ndarray, ml.Image()],
    file: ml.File,
): ...


def _one(hint) -> Schema:
    def f(): ...

    f.__annotations__["return"] = hint
    return Schema.of(f)


ALL = Schema.of(_all)
ONE_EACH = {name: _one(hint) for name, hint in _all.__annotations__.items()}


def test_one_file_part_makes_a_list_of_one():
    def f(pictures: list[ml.Image]): ...

    found = codec.decode_request(
        Schema.of(f), FORM, form(("pictures", png(), "a.png", "image/png"))
    )
    assert len(found["pictures"]) == 1


def test_json_is_strict_about_its_charset():
    assert (
        codec.decode_request(PLAIN, "application/json; charset=UTF-8", b'{"sides": 6}')["sides"]
        == 6
    )
    with pytest.raises(BadRequest, match="UTF-8"):
        codec.decode_request(PLAIN, "application/json; charset=latin-1", b'{"sides": 6}')


def test_an_empty_body_is_enough_without_required_parameters():
    def f(x: int = 1): ...

    schema = Schema.of(f)
    assert (
        codec.decode_request(schema, "", b"")
        == codec.decode_request(schema, "application/json", b"")
        == {"x": 1}
    )
    with pytest.raises(BadRequest, match="empty"):
        codec.decode_request(PLAIN, "application/json", b"")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "image/png", "", "nonsense"]
)
def test_other_bodies_are_unsupported(content_type):
    with pytest.raises(UnsupportedMediaType, match="application/json"):
        codec.decode_request(PLAIN, content_type, b"sides=6")


def test_a_raw_body_is_the_one_input_that_reads_bytes():
    def one(image: np.ndarray = None, table: pd.DataFrame = None): ...
    def both(image: ml.Image, table: pd.DataFrame): ...
    def needs(image: ml.Image, n: int): ...
    def takes(image: ml.Image, n: int = 2, extra: ml.File = None): ...

    assert [Schema.of(f).raw for f in (one, both, needs, takes)] == ["", "", "", "image"]
    found = codec.decode_request(Schema.of(takes), "image/png", png())
    assert found["image"].size == (3, 2) and found["n"] == 2
    with pytest.raises(UnsupportedMediaType):
        codec.decode_request(Schema.of(needs), "image/png", png())
    with pytest.raises(InvalidInput, match="image"):
        codec.decode_request(Schema.of(takes), "image/png", b"not one")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "a/json"),
        ("*/*", "a/json"),
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("image/*;q=0.5, image/tiff", "image/tiff"),
        ("image/*, image/png;q=0", "image/tiff"),
        ("text/html, */*;q=0.1", "a/json"),
        ("text/html", None),
        ("a/json;q=0.2, image/tiff;q=0.9", "image/tiff"),
        ("image/png;q=broken, image/tiff;q=0.1", "image/tiff"),
        ("IMAGE/PNG", "image/png"),
        ("*/*;q=0", None),
        (", ,", "a/json"),
    ],
)
def test_accept_chooses(accept, chosen):
    assert choose(accept, ("a/json", "image/png", "image/tiff")) == chosen


def test_results_are_written_as_accept_asks():
    def f() -> np.ndarray: ...
    def g(): ...

    array = np.arange(3.0)
    for schema in map(Schema.of, (f, g)):
        assert codec.encode_response(schema, array) == codec.EncodedBody(
            "application/json", b"[0.0,1.0,2.0]"
        )
        npy = codec.encode_response(schema, array, "application/x-npy")
        assert npy.content_type == "application/x-npy" and npy.filename == "array.npy"
        assert np.load(io.BytesIO(npy.body)).tolist() == [0, 1, 2]
        with pytest.raises(NotAcceptable) as error:
            codec.encode_response(schema, array, "image/png")
        assert error.value.details == {"offered": ["application/json", "application/x-npy"]}
    assert codec.encode_response(Schema.of(g), 3, "text/html, */*;q=0.1").body == b"3"


def test_a_list_may_stand_for_an_array_whatever_is_asked_for():
    def f() -> np.ndarray: ...

    body = codec.encode_response(Schema.of(f), [1, 2], "application/x-npy").body
    assert np.load(io.BytesIO(body)).tolist() == [1, 2]


def test_several_results_are_a_json_object():
    @dataclass
    class Both:
        mask: Annotated[np.ndarray, ml.Image()]
        count: int

    def f() -> Both: ...

    body = json.loads(codec.encode_response(Schema.of(f), Both(np.zeros((2, 2), np.uint8), 3)).body)
    assert body["count"] == 3 and body["mask"].startswith("data:image/png;base64,")


def test_what_cannot_be_written_says_so():
    def f() -> ml.Image: ...

    for accept in ("", "image/png"):
        with pytest.raises(ResultNotEncodable):
            codec.encode_response(Schema.of(f), "no image", accept)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.csv", "x.csv"),
        ("a\x00b\n\u202egpj.exe", "abgpj.exe"),
        ("..", ""),
        ("/", ""),
        (".bashrc", "bashrc"),
        ('a<b>:"c|?*.txt', "a_b___c___.txt"),
        ("x" * 500 + ".csv", "x" * (MAX_NAME - 4) + ".csv"),
        ("Größe 1.csv", "Größe 1.csv"),
    ],
)
def test_names_of_files_are_labels(name, clean):
    assert safe_filename(name) == clean


@pytest.mark.slow
@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_label_leaves_its_folder(name):
    found = safe_filename(name)
    assert not set(found) & set("/\\\0\r\n") and found not in (".", "..") and len(found) <= MAX_NAME
    assert safe_filename(found) == found
