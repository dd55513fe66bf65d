"""Requests and errors of ``POST process``."""

import json
from typing import Any

import pytest

from easymlnb.contract.errors import Busy, CallerError, CallFailed, EasyMLNBError, InvalidInput
from easymlnb_server.protocols.easymlserve import rules

SCHEMA = {"properties": {"n": {"type": "integer"}, "tags": {"type": "array"}}}


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("", True),
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/geo+json", True),
        ("text/json", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
    ],
)
def test_content_types(content_type: str, expected: bool) -> None:
    assert rules.is_json(content_type) == expected


def test_query() -> None:
    given = rules.query_values({"n": [b"4"], "tags": [b"a", b"\xff"], "token": [b"x"]}, SCHEMA)
    assert given == {"n": "4", "tags": ["a", "\ufffd"]}
    assert rules.query_values({}, SCHEMA) == {}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", {"n": "1"}),
        (b'{"n": 2, "m": 3}', {"n": 2, "m": 3}),
        (b"{}", {"n": "1"}),
        (b"[1]", [1]),
    ],
)
def test_the_body_comes_before_the_query(body: bytes, expected: Any) -> None:
    assert json.loads(rules.with_query(body, {"n": "1"})) == expected


def test_broken_bodies_stay() -> None:
    assert rules.with_query(b"{", {"n": "1"}) == b"{"
    assert rules.with_query(b"\xff", {"n": "1"}) == b"\xff"


ENTRY = {"field": "n", "message": "m", "loc": ["body", "n"], "msg": "Field required", "type": "t"}


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (CallerError("no", details={"status_code": 404, "detail": "no"}), 404, "no"),
        (CallerError("no", details={"status_code": 200, "detail": "no"}), 422, "no"),
        (CallerError("no", details={"status_code": True, "detail": 1}), 422, "no"),
        (CallerError("no", details=[1]), 422, "no"),
        (
            InvalidInput([ENTRY]),
            422,
            [{"loc": ["body", "n"], "msg": "Field required", "type": "t"}],
        ),
        (
            InvalidInput([{"field": "a.b", "message": "m"}]),
            422,
            [{"loc": ["body", "a", "b"], "msg": "m", "type": "value_error"}],
        ),
        (Busy(3, 1), 503, Busy(3, 1).message),
        (CallFailed("KeyError"), 500, CallFailed("KeyError").message),
    ],
)
def test_errors(error: EasyMLNBError, status: int, detail: Any) -> None:
    assert rules.status_of(error) == status
    assert rules.document_of(error) == {"detail": detail}


def test_other_types_are_named() -> None:
    (entry,) = rules.document_of(rules.not_json("text/csv"))["detail"]
    assert "'text/csv'" in entry["msg"]
    assert (entry["loc"], entry["type"]) == (["body"], "model_attributes_type")
