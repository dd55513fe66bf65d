"""Signature and help text, made from the schema alone."""

import inspect

import pytest

from easymlnb.client.signatures import docstring, signature, type_text
from easymlnb.contract.spec import ServiceSpec

ROOT = {
    "$defs": {
        "Color": {"enum": ["red", "green"], "type": "string"},
        "Point": {"type": "object", "title": "Point", "properties": {"x": {"type": "number"}}},
        "Circle": {"$ref": "#/$defs/Circle"},
    }
}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer"}, "int"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": ["string", "null"]}, "str | None"),
        ({"$ref": "#/$defs/Color"}, "Literal['red', 'green']"),
        ({"const": 1}, "Literal[1]"),
        ({"type": "array", "items": {"$ref": "#/$defs/Point"}}, "list[Point]"),
        (
            {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
            "int | str | None",
        ),
        ({"x-easymlnb": {"widget": "image"}, "anyOf": [{}, {}]}, "image"),
        ({"anyOf": [{"x-easymlnb": {"widget": "table"}}, {"type": "null"}]}, "table | None"),
        ({"$ref": "#/$defs/Circle"}, "Any"),
        ({"$ref": "#/$defs/Missing"}, "Any"),
        ({}, "Any"),
        (True, "Any"),
    ],
)
def test_types_read_like_python(schema, text):
    assert type_text(schema, ROOT) == text


def spec(**changes):
    properties = {
        "a": {"type": "integer", "default": 1, "maximum": 5, "x-easymlnb": {"unit": "cm"}},
        "b": {"type": "string", "description": "A name."},
    }
    given = {"type": "object", "properties": properties, "required": ["b"]}
    settings = {"name": "f", "title": "F", "input": given, "output": {"type": "boolean"}}
    return ServiceSpec(**(settings | changes))


def test_what_is_required_late_is_given_by_name():
    assert str(signature(spec())) == "(a: int = 1, *, b: str) -> bool"


def test_a_stream_returns_an_iterator():
    assert str(signature(spec(stream=True))).endswith("-> Iterator[bool]")


def test_a_service_without_parameters():
    found = spec(input={"type": "object", "properties": {}})
    assert str(signature(found)) == "() -> bool"
    assert "Parameters" not in docstring(found)


def test_help_tells_limits_units_and_an_example():
    text = docstring(spec(examples=({"b": "x" * 99},)))
    assert "a: int (at most 5, in cm)" in text
    assert "b: str - A name." in text
    assert "Returns:\n    bool" in text
    assert "f(b='xxx" in text and "..." in text


def test_parameters_may_have_any_name():
    fields = {name: {"type": "integer"} for name in ("self", "options", "timeout", "name")}
    found = signature(spec(input={"type": "object", "properties": fields}))
    assert list(found.parameters) == list(fields)
    assert found.parameters["self"].default is None
    assert found.parameters["self"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
