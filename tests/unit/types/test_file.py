import base64
import json
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import easymlnb.types as ml
from easymlnb.contract.errors import InvalidInput, ResultNotEncodable
from easymlnb.services import codec
from easymlnb.services.schema import Schema
from easymlnb.types import temp_files
from easymlnb.types.base import Upload


def _file(x: ml.File) -> ml.File: ...
def _bytes(x: bytes) -> bytes: ...
def _path(x: Path) -> Path: ...


FILE, BYTES, PATH = Schema.of(_file), Schema.of(_bytes), Schema.of(_path)


def load(schema: Schema, value):
    return schema.load_json(json.dumps({"x": value}).encode())["x"]


@pytest.mark.parametrize(
    ("value", "data", "name", "media_type"),
    [
        ("data:text/plain;base64,aGk=", b"hi", "", "text/plain"),
        ("data:text/plain;name=a%20b.txt;base64,aGk=", b"hi", "a b.txt", "text/plain"),
        ("data:,hi%20you", b"hi you", "", "application/octet-stream"),
        ("DATA:text/csv;BASE64,aGk=", b"hi", "", "text/csv"),
        ("aGk=", b"hi", "", "application/octet-stream"),
        ("aG\nk=", b"hi", "", "application/octet-stream"),
        ({"b64": "aGk="}, b"hi", "", "application/octet-stream"),
        ({"b64": "aGk=", "name": "../x.csv"}, b"hi", "x.csv", "text/csv"),
        ({"b64": "", "name": None, "media_type": "a/b"}, b"", "", "a/b"),
    ],
)
def test_json_forms_of_bytes(value, data, name, media_type):
    assert load(FILE, value) == ml.File(data, name, media_type)
    assert load(BYTES, value) == data


@pytest.mark.parametrize(
    "value",
    ["not base64!", "data:text/plain", {"b64": 3}, {"b64": "aGk=", "path": "/etc/passwd"}, 3, None,
     [], {"b64": "aGk=", "name": 3}, "data:text/plain;base64,%%", "/etc/passwd"],
)  # fmt: skip
def test_what_holds_no_bytes_is_refused(value):
    with pytest.raises(InvalidInput) as error:
        load(FILE, value)
    assert error.value.details[0]["field"] == "x"


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300), st.text(max_size=40))
def test_files_survive(data, name):
    file = ml.File(data, name)
    assert load(FILE, json.loads(FILE.dump(file))) == file
    assert load(BYTES, json.loads(BYTES.dump(data))) == data
    written = codec.encode_response(FILE, file, "application/octet-stream, */*;q=0.1")
    assert codec.decode_request(BYTES, written.content_type, written.body) == {"x": data}


def test_a_path_is_a_temporary_file_of_the_call():
    with temp_files.scratch():
        first = load(PATH, {"b64": "aGk=", "name": "../a.txt"})
        second = load(PATH, {"b64": "eW91", "name": "a.txt"})
        assert first.name == second.name == "a.txt" and first != second
        assert first.read_bytes() == b"hi" and second.read_bytes() == b"you"
        assert json.loads(PATH.dump(first))["name"] == "a.txt"
        assert first.stat().st_mode & 0o077 == 0 or first.parents[1].stat().st_mode & 0o077 == 0
    assert not first.exists() and not first.parents[1].exists()


def test_a_path_never_comes_from_a_wire(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    with pytest.raises(InvalidInput):
        load(PATH, str(secret))


def test_a_result_that_is_no_file_says_so_without_its_path(tmp_path):
    with pytest.raises(ResultNotEncodable) as error:
        PATH.dump(tmp_path / "missing.csv")
    assert str(tmp_path) not in error.value.message


def test_results_travel_as_their_own_media_type():
    written = codec.encode_response(FILE, ml.File(b"a,b", "t.csv"), "text/csv")
    assert written == codec.EncodedBody("text/csv", b"a,b", "t.csv")


def test_limits_and_kinds_are_checked():
    def f(x: Annotated[bytes, ml.File(accept=[".csv", "image/*"], max_bytes=10)]): ...

    schema = Schema.of(f)
    own = schema.input["properties"]["x"]["x-easymlnb"]
    assert own == {"widget": "file", "accept": [".csv", "image/*"], "max_bytes": 10}
    assert schema.load({"x": Upload(b"a", "A.CSV")})["x"] == b"a"
    assert schema.load({"x": Upload(b"a", "", "image/png")})["x"] == b"a"
    for bad, said in [
        (Upload(b"a" * 11, "a.csv"), "10 bytes"),
        (base64.b64encode(b"a" * 1000).decode(), "10 bytes"),
        (Upload(b"a", "a.exe", "application/x-exe"), "csv"),
    ]:
        with pytest.raises(InvalidInput, match=said):
            schema.load({"x": bad})


def test_audio_is_a_file_of_its_own_kind():
    def f(x: ml.Audio, y: Annotated[bytes, ml.Audio()] = b"") -> ml.Audio: ...

    schema = Schema.of(f)
    assert schema.input["properties"]["x"]["x-easymlnb"]["widget"] == "audio"
    found = schema.load_json(b'{"x": "data:audio/wav;base64,UklGRg=="}')["x"]
    assert isinstance(found, ml.Audio) and found.media_type == "audio/wav"
    assert codec.encode_response(schema, found, "audio/*").body == b"RIFF"


def test_the_repr_of_a_file_does_not_hold_its_data():
    assert repr(ml.File(b"secret", "a.txt")) == "<File 'a.txt', text/plain, 6 bytes>"
