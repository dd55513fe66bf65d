"""What the client sends is what the service reads."""

from typing import Any

import httpx
import pytest

from easymlnb.client.encoding import FilePart
from easymlnb.client.messages import Response, call_body, error_of
from easymlnb.contract.errors import BadRequest, Forbidden
from easymlnb.services import codec
from easymlnb.services.schema import Schema


def anything(
    text: str, mixed: str | int, many: list[str], values: dict[str, Any], doc: Any
) -> None:
    """A function with parameters that a form alone could misread."""


@pytest.mark.parametrize("text", ["007", "null", '"quoted"', "[1]", "", "é\r\n--x"])
@pytest.mark.parametrize("mixed", ["6", 6])
def test_values_beside_a_file_arrive_as_they_were(text, mixed):
    values = {"text": text, "mixed": mixed, "many": ["a"], "values": {"a": None}}
    body = call_body(values | {"doc": FilePart(b"\x00\r\n", "ü.bin", "application/x-thing")})
    request = httpx.Request("POST", "http://host", files=body["form"])
    found = codec.decode_request(
        Schema.of(anything), request.headers["content-type"], request.read()
    )
    doc = found.pop("doc")
    assert found == values
    assert doc.data == b"\x00\r\n" and doc.media_type == "application/x-thing"


def test_a_part_said_to_be_json_must_be_it():
    request = httpx.Request("POST", "http://h", files=[("text", (None, b"{", "application/json"))])
    with pytest.raises(BadRequest, match="'text'"):
        codec.decode_request(Schema.of(anything), request.headers["content-type"], request.read())


def test_values_without_a_file_go_as_json():
    assert call_body({"a": [1]})["content"] == b'{"a":[1]}'


def test_an_error_of_jupyter_itself_is_understood():
    assert isinstance(error_of(Response(403, {}, b'{"message": "Forbidden"}')), Forbidden)
