"""Inference requests and responses: what the server reads of them, and what it adds."""

import gzip
import json
import zlib
from typing import Any

import pytest

from easymlnb.contract.errors import (
    BadRequest,
    InvalidInput,
    ResultNotEncodable,
    ServiceNotFound,
    TooLarge,
    UnsupportedMediaType,
)
from easymlnb.contract.tensors import TENSORS, WantedOutputs
from easymlnb_server.protocols.oip import errors
from easymlnb_server.protocols.oip.compression import inflate
from easymlnb_server.protocols.oip.framing import (
    HEAD_LENGTH,
    Inference,
    head_length,
    inference,
    respond,
)


def parsed(head: Any, tail: bytes = b"", length: int | None = None) -> Inference:
    content = (head if isinstance(head, bytes) else json.dumps(head).encode()) + tail
    return inference(length, len(content), lambda size: content[:size])


def test_the_fields_of_a_call() -> None:
    found = parsed(
        {
            "id": "a",
            "inputs": [],
            "parameters": {"timeout": 2_500_000, "priority": 2, "binary_data_output": True},
            "outputs": [{"name": "x", "parameters": {"binary_data": False}}, {"name": "y"}],
        }
    )
    assert (found.id, found.timeout, found.low_priority) == ("a", 2.5, True)
    assert WantedOutputs.parse(found.accept) == WantedOutputs({"x": False, "y": True}, binary=True)
    assert found.content_type == TENSORS
    plain = parsed({"inputs": [], "parameters": None, "outputs": None, "id": None})
    assert (plain.id, plain.timeout, plain.low_priority) == ("", float("inf"), False)
    head = b'{"inputs": []}'
    assert parsed(head, b"1234", len(head)).content_type == f"{TENSORS};head={len(head)}"
    assert parsed(b"anything", length=0).content_type == f"{TENSORS};raw=1"


def test_a_length_of_an_earlier_request_is_ignored() -> None:
    for stale in (5, 500):
        assert parsed({"inputs": []}, length=stale).content_type == TENSORS
    with pytest.raises(BadRequest, match="not a valid inference request"):
        parsed(b"{}xxxx", length=2)


def test_invalid_heads() -> None:
    for head in (
        b"", b"[]", b"{}", {"inputs": 1}, {"inputs": [], "id": 4},
        {"inputs": [], "parameters": {"timeout": "1"}},
        {"inputs": [], "parameters": {"timeout": 9}},
        {"inputs": [], "parameters": {"priority": -1}},
        {"inputs": [], "parameters": {"binary_data_output": 1}},
        {"inputs": [], "outputs": [{"name": ""}]},
        {"inputs": [], "outputs": [{"name": "x", "parameters": {"classification": 2}}]},
    ):  # fmt: skip
        with pytest.raises(BadRequest):
            parsed(head)
    for header in ("", "x", "-1", "٣", "1" * 30):
        with pytest.raises(BadRequest, match=HEAD_LENGTH):
            head_length(header)
    assert head_length(None) is None and head_length("12") == 12


def test_responses() -> None:
    body = b'{"outputs":[]}' + b"1234"
    found = respond(f"{TENSORS};head=14", len(body), "f", "3", "a")
    whole = found.prefix + body[1:]
    length = int(found.headers[HEAD_LENGTH])
    assert json.loads(whole[:length]) == {
        "model_name": "f", "model_version": "3", "id": "a", "outputs": [],
    }  # fmt: skip
    assert whole[length:] == b"1234"
    found = respond(f"{TENSORS};head=14", 14, "f", "3", "")
    assert found.headers == {"Content-Type": "application/json"}
    with pytest.raises(ResultNotEncodable):
        respond("application/json", 2, "f", "3", "")


def test_compressed_bodies() -> None:
    data = b"x" * 1000
    assert inflate(gzip.compress(data), "gzip", 1000) == data
    assert inflate(zlib.compress(data), "deflate", 1000) == data
    with pytest.raises(TooLarge):
        inflate(gzip.compress(bytes(10_000_000)), "gzip", 1000)
    for broken in (b"", b"x", gzip.compress(data)[:-3], gzip.compress(data) + b"x"):
        with pytest.raises(BadRequest):
            inflate(broken, "gzip", 1000)
    with pytest.raises(UnsupportedMediaType):
        inflate(data, "br", 1000)


def test_errors() -> None:
    error = InvalidInput([{"field": "x", "message": "must be a number"}])
    assert errors.status_of(error) == 400 and "must be a number" in errors.document(error)["error"]
    assert errors.status_of(ServiceNotFound("x")) == 404
