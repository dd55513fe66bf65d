"""What a form reads from a schema."""

from pathlib import Path

import pytest

from easymlnb.contract.jsonschema import HINTS, SchemaNode
from easymlnb.forms.ranges import bounds
from easymlnb.forms.registry import WIDGETS, kind_of, make, register

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        (STRING, "text"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string", "format": "date-time"}, "datetime"),
        ({"type": "string", "format": "time"}, "time"),
        ({"type": "string", "format": "color"}, "color"),
        ({"type": "string", "format": "password"}, "secret"),
        ({"type": "string", "format": "binary"}, "file"),
        (INTEGER, "number"),
        ({"type": "integer", "minimum": 1, "maximum": 20}, "slider"),
        ({"type": "integer", "minimum": 0, "maximum": 2**31}, "number"),
        ({"type": "number", "minimum": 0}, "number"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "slider"),
        ({"type": "boolean"}, "checkbox"),
        ({"enum": ["a", "b"]}, "choice"),
        ({"const": "a"}, "const"),
        ({"anyOf": [{"const": "a"}, {"const": "b"}]}, "choice"),
        ({"anyOf": [INTEGER, {"type": "null"}]}, "optional"),
        ({"type": ["string", "null"]}, "optional"),
        ({"anyOf": [INTEGER, STRING]}, "union"),
        ({"anyOf": [{"type": "number"}, STRING]}, "number"),
        ({"type": "array", "items": STRING}, "list"),
        ({"type": "array", "uniqueItems": True, "items": {"enum": ["a"]}}, "choices"),
        ({"type": "array", "prefixItems": [STRING]}, "tuple"),
        ({"type": "object", "properties": {"a": STRING}}, "object"),
        ({"type": "object", "additionalProperties": INTEGER}, "dict"),
        ({"type": "object"}, "json"),
        ({}, "json"),
    ],
)
def test_the_shape_of_a_schema_chooses_the_widget(schema, kind):
    node = SchemaNode.root(schema)
    assert kind_of(node) == kind
    assert kind in WIDGETS


def test_a_hint_wins_over_the_shape_and_an_unknown_one_is_ignored():
    assert kind_of(SchemaNode.root({**STRING, HINTS: {"widget": "longtext"}})) == "longtext"
    assert kind_of(SchemaNode.root({**STRING, HINTS: {"widget": "hologram"}})) == "text"
    inside = {"anyOf": [{**STRING, HINTS: {"widget": "image"}}, {"type": "null"}]}
    assert kind_of(SchemaNode.root(inside)) == "optional"


def test_references_are_followed_and_what_stands_beside_them_wins():
    defs = {"Point": {"title": "Point", "type": "object", "description": "A place."}}
    root = SchemaNode.root({"$defs": defs, "type": "object"})
    found = root.child({"$ref": "#/$defs/Point", "description": "Where to start."}, "start_at")
    assert found.get("type") == "object"
    assert found.help == "Where to start."
    assert found.title == "Start at"
    assert root.child({"allOf": [{"$ref": "#/$defs/Point"}]}).help == "A place."


def test_a_circle_of_references_ends():
    root = SchemaNode.root({"$defs": {"A": {"$ref": "#/$defs/A"}}})
    assert kind_of(root.child({"$ref": "#/$defs/A"})) == "json"


@pytest.mark.parametrize(
    ("schema", "title"),
    [
        ({"title": "Max Depth"}, "Max depth"),
        ({"title": "How deep"}, "How deep"),
        ({}, "Max depth"),
        ({HINTS: {"label": "Depth", "unit": "m"}}, "Depth (m)"),
    ],
)
def test_labels_read_as_words(schema, title):
    assert SchemaNode.root({}).child(schema, "max_depth").title == title


def test_exclusive_bounds_move_in_by_one_step():
    node = SchemaNode.root({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10})
    assert bounds(node) == (1, 9)
    rate = SchemaNode.root({"type": "number", "exclusiveMinimum": 0, "maximum": 1})
    assert bounds(rate) == (pytest.approx(0.01), 1)


def test_a_widget_of_ones_own_is_registered():
    before = dict(WIDGETS)
    try:
        register("shout", WIDGETS["longtext"])
        field = make(SchemaNode.root({**STRING, HINTS: {"widget": "shout"}}), True)
        field.set("HEY")
        assert field.get() == "HEY"
    finally:
        WIDGETS.clear()
        WIDGETS.update(before)


def test_the_widget_of_the_documentation_works():
    page = Path(__file__).parents[3] / "docs/guides/forms.md"
    code = page.read_text(encoding="utf-8").split("```python\n")[2].partition("```")[0]
    before = dict(WIDGETS)
    try:
        exec(code, {})
        field = make(SchemaNode.root({**INTEGER, HINTS: {"widget": "stars"}, "default": 4}), False)
        assert field.get() == 4
    finally:
        WIDGETS.clear()
        WIDGETS.update(before)
