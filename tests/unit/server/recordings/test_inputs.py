"""Recorded bodies of every kind read as JSON, preview as text, and become code."""

import base64
import os
from typing import Any

import msgspec
import pytest

from easymlnb.client.messages import encode_form
from easymlnb.contract.spec import VIEW, ServiceSpec
from easymlnb_server.recordings import inputs
from easymlnb_server.recordings.models import StoredCall
from easymlnb_server.recordings.rules import caller_key, secret_parameters, without_secrets


def call(body: bytes, kind: str = "application/json", **more: Any) -> StoredCall:
    return StoredCall(id="a" * 32, input=body, input_type=kind, **more)


def spec(**properties: Any) -> ServiceSpec:
    schema = {"type": "object", "properties": properties}
    return ServiceSpec(name="f", title="F", input=schema, output={})


FILE = {"type": "string", "x-easymlnb": {"widget": "image", "accept": ["image/png"]}}
SECRET = {"type": "string", "writeOnly": True}


def test_json_with_uploads() -> None:
    body = msgspec.json.encode({"x": 1, "file": {"upload": "id", "name": "a.csv"}})
    found = inputs.values_of(call(body, uploads=(("id", b"1,2"),)))
    file = {"b64": base64.b64encode(b"1,2").decode(), "media_type": "", "name": "a.csv"}
    assert found == {"x": 1, "file": file}
    assert inputs.values_of(call(b"")) == {}
    assert inputs.values_of(call(b"[1]")) is None
    assert inputs.values_of(call(b"{broken")) is None


def test_form_with_binary_file() -> None:
    content = os.urandom(5000) + b"\r\n\r\n--\n\r"
    parts: Any = [
        ("x", (None, b"3", "application/json")),
        ("text", (None, b'"3"', "application/json")),
        ("file", ('a "b".png', content, "image/png")),
    ]
    kind, body = encode_form(parts)
    found = inputs.values_of(call(body, kind))
    assert found is not None
    assert (found["x"], found["text"]) == (3, "3")
    assert base64.b64decode(found["file"]["b64"]) == content
    assert found["file"]["media_type"] == "image/png"


def test_raw_body_has_the_name_of_the_only_file_parameter() -> None:
    found = inputs.values_of(call(b"png", "image/png"), spec(x={}, picture=FILE))
    assert found is not None
    assert list(found) == ["picture"]
    assert list(inputs.values_of(call(b"png", "image/png")) or {}) == [inputs.BODY]


def test_results() -> None:
    view = msgspec.json.encode({"parts": [{"kind": "number"}], "result": 6})
    assert inputs.result_of(call(b"", result=view, result_type=VIEW)) == 6
    assert inputs.result_of(call(b"", result=b"6", result_type="application/json")) == 6
    png = inputs.result_of(call(b"", result=b"png", result_type="image/png"))
    assert png["media_type"] == "image/png"
    assert inputs.result_of(call(b"")) is None


def test_preview_has_no_content_of_files() -> None:
    body = msgspec.json.encode(
        {"x": 1.5, "file": {"b64": "QUJD" * 100, "name": "cat.png"}, "u": "data:image/png;base64,A"}
    )
    assert inputs.preview(call(body)) == "x=1.5, file=cat.png, u=<image/png>"
    assert len(inputs.preview(call(msgspec.json.encode({"t": "x" * 9999})))) < 100
    assert "bytes" in inputs.preview(call(b"[", "application/json"))


def test_code_is_complete_or_fetches_the_inputs() -> None:
    short = inputs.code_cell("f", spec(x={}), "r1", call(b'{"x": 3}'), "http://host/")
    assert "c.f(x=3)" in short
    body = msgspec.json.encode({"picture": {"b64": "QUJD", "name": "a.png"}})
    long = inputs.code_cell("bob/f", spec(picture=FILE), "r1", call(body), "http://host/")
    assert "record_inputs('bob/f', 'r1')" in long
    assert "c['bob/f'](**inputs)" in long
    compile(long, "cell", "exec")


def test_secrets_are_removed_or_the_call_is_not_kept() -> None:
    owner = spec(x={}, key={"anyOf": [{"$ref": "#/$defs/K"}, {"type": "null"}]})
    owner.input["$defs"] = {"K": SECRET}
    assert secret_parameters(owner) == ("key",)
    kept = without_secrets(call(b'{"x": 1, "key": "canary"}'), owner)
    assert kept is not None
    assert b"canary" not in kept.encode()
    assert kept.removed == ("key",)
    assert without_secrets(call(b"canary", "multipart/form-data; boundary=x"), owner) is None
    assert without_secrets(call(b"{canary"), owner) is None
    plain = call(b"whatever", "text/csv")
    assert without_secrets(plain, spec(x={})) is plain


@pytest.mark.parametrize(
    ("owner", "key"), [("user", "user"), ("user ann", "user ann"), ("pass secret", None)]
)
def test_visitors_are_hashed(owner: str, key: str | None) -> None:
    found = caller_key(owner)
    assert found == key if key else found.startswith("visitor ") and "secret" not in found
