"""A key that an object gives twice is refused, wherever it is and however it is written."""

import json
from typing import Any

import msgspec
import pytest

from easymlnb.contract.errors import BadRequest, InvalidInput
from easymlnb.contract.json_values import check_keys, decode_body
from easymlnb.services.codec import decode_request
from easymlnb.services.schema import Schema
from easymlnb_server.identity import access


def take(x: Any = None, options: dict[str, Any] | None = None, when: str = "") -> None:
    """Take anything."""


SCHEMA = Schema.of(take)

REPEATED = [
    (b'{"x": 1, "x": 1}', "x"),
    (b'{"x" : 1 , "x" :2}', "x"),
    (b'{"x": 1, "\\u0078": 2}', "x"),
    (b'{"x": 1, "when": "a", "x": 2}', "x"),
    (b'{"options": {"a": 1, "a": 2}}', "a"),
    (b'{"x": [[{"a": 1}, {"b": {}, "b": {}}]]}', "b"),
    (b'{"x": {"": 1, "": 2}}', ""),
    ('{"x": {"\u00e9": 1, "\\u00e9": 2}}'.encode(), "\u00e9"),
    (b'{"x": 1, "options": {"a": {"a": {"a": 1, "b": 2, "a": 3}}}}', "a"),
    (b'{"x": %s, "options": {"a": 1, "a": 2}}' % (b"9" * 4000), "a"),
    (b'{"x": NaN, "options": {"a": 1, "a": 2}}', "a"),
    (b'{"y": 1, "y": 2}', "y"),
]

FINE = [
    b"{}",
    b'{"x": 1}',
    b'{"x": ":"}',
    b'{"x": "{\\"x\\": 1, \\"x\\": 2}", "when": "12:00:00"}',
    b'{"x": {"x": {"x": 1}}, "when": "x"}',
    b'{"x": [{"a": 1}, {"a": 2}]}',
    b'{"x": {"a": 1, "A": 2, "a ": 3}}',
    b'{"x": %s, "when": ":"}' % (b"9" * 4000),
]


@pytest.mark.parametrize(("body", "key"), REPEATED)
def test_a_repeated_key_is_refused_by_its_name(body: bytes, key: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_request(SCHEMA, "application/json", body)
    assert repr(key) in caught.value.message


@pytest.mark.parametrize("body", FINE)
def test_other_bodies_are_read(body: bytes) -> None:
    decode_request(SCHEMA, "application/json", body)


def test_a_key_of_any_length_makes_a_short_message() -> None:
    body = json.dumps({"k" * 100_000: 1})[:-1].encode()
    with pytest.raises(BadRequest) as caught:
        check_keys(body + b", " + body[1:] + b"}")
    assert len(caught.value.message) < 200


def test_a_wrong_value_beside_it_does_not_hide_it() -> None:
    with pytest.raises(BadRequest):
        decode_request(SCHEMA, "application/json", b'{"when": 1, "when": 2}')
    with pytest.raises(InvalidInput):
        decode_request(SCHEMA, "application/json", b'{"when": 1, "x": {"a": ":"}}')


def form(part: bytes, media_type: str) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="options"\r\nContent-Type: {media_type}'
    return head.encode() + b"\r\n\r\n" + part + b"\r\n--b--\r\n"


@pytest.mark.parametrize("media_type", ["application/json", "text/plain"])
def test_parts_of_a_form_are_looked_at_too(media_type: str) -> None:
    content_type = "multipart/form-data; boundary=b"
    assert decode_request(SCHEMA, content_type, form(b'{"a": 1, "b": 2}', media_type))
    with pytest.raises(BadRequest, match="Duplicate key 'a'"):
        decode_request(SCHEMA, content_type, form(b'{"a": 1, "a": 2}', media_type))


def test_who_may_call_is_said_once() -> None:
    with pytest.raises(BadRequest, match="Duplicate key 'users'"):
        access.parse_access(b'{"users": [], "users": ["bob"]}')


def test_a_table_with_a_column_given_twice_in_a_row_is_refused() -> None:
    from easymlnb.types import table_encoding
    from easymlnb.types.base import Upload

    sent = Upload(b'[{"a": 1, "b": 2}, {"a": 1, "a": 2}]', "x.json", "application/json")
    with pytest.raises(BadRequest, match="Duplicate key 'a'"):
        table_encoding.read_table(sent, 10)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"to": 1}', b'{"to": ' + b"[" * 100_000])
def test_an_invalid_body_of_a_request_is_refused_with_advice(body: bytes) -> None:
    class Body(msgspec.Struct):
        to: str

    with pytest.raises(BadRequest, match=r"Send \{\"to\"\} \(.+\)\.$"):
        decode_body(body, Body, 'Send {"to"}')
    assert decode_body(b'{"to": "alice"}', Body, "").to == "alice"
    with pytest.raises(BadRequest, match="Duplicate key 'to'"):
        decode_body(b'{"to": "a", "to": "b"}', Body, "")
    assert decode_body(b'{"to": "a", "to": "b"}', Body, "", unique=False).to == "b"
