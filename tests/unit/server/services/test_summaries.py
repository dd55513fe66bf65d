"""A service in words: its shape, its parameters, an example."""

import pytest

from easymlnb.contract.file_parameters import file_parameters
from easymlnb.contract.snippets import FileName, snippets
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.services import summaries

PROPERTIES = {
    "image": {"anyOf": [{"x-easymlnb": {"widget": "image"}}, {"type": "null"}]},
    "count": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
    "mode": {"$ref": "#/$defs/Mode"},
    "names": {"type": "array", "items": {"$ref": "#/$defs/Mode"}},
    "day": {"type": "string", "format": "date", "description": "Which day."},
}


def spec(names="image count mode names day", **changes):
    given = {
        "type": "object",
        "properties": {name: PROPERTIES[name] for name in names.split()},
        "required": [name for name in ("image", "mode") if name in names.split()],
        "$defs": {"Mode": {"type": "string", "enum": ["it's", "b"]}},
    }
    settings = {"name": "f", "title": "F", "input": given, "output": {"type": "number"}}
    return ServiceSpec(**(settings | changes))


def test_the_shape_fits_into_a_line():
    assert summaries.shape(spec("image count")) == "image, integer → number"
    assert summaries.shape(spec()) == "image, integer, choice and 2 more → number"
    assert summaries.shape(spec("")) == "nothing → number"
    assert summaries.shape(spec("day", stream=True)) == "date → stream of number"


def test_parameters_become_rows():
    rows = {field.name: field for field in summaries.fields(spec())}
    assert rows["image"].required and rows["image"].kind == "image"
    assert rows["count"].default == "3" and rows["count"].limits == "1 to 9"
    assert rows["names"].kind == "choices" and rows["names"].limits == 'one of "it\'s", "b"'
    assert rows["day"].description == "Which day."


def test_parameters_without_a_schema_take_any_value():
    open_ended = spec(input={"properties": {"a": True}, "required": ["a"]})
    assert [(row.kind, row.required) for row in summaries.fields(open_ended)] == [
        ("any value", True)
    ]
    assert summaries.example(open_ended) == {"a": None}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({}, "any value"),
        ({"type": ["string", "null"]}, "text"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "integer or text"),
        ({"$ref": "#/$defs/Circle"}, "any value"),
        ({"type": "array"}, "list"),
    ],
)
def test_types_are_words(schema, kind):
    assert summaries.kind(schema, {"$defs": {"Circle": {"$ref": "#/$defs/Circle"}}}) == kind


def test_the_example_of_a_call_is_the_first_one_or_what_a_call_needs():
    assert summaries.example(spec(examples=({"count": 2},))) == {"count": 2}
    assert summaries.example(spec("count mode")) == {"mode": "it's"}
    assert summaries.example(spec("image")) == {"image": FileName("image.png", "image/png")}


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("Roll a **die**, see [here](http://x).\n\nMore.", "Roll a die, see here."),
        ("# Title\n\ntext", "Title"),
        ("a\nb `c`", "a b c"),
        ("", ""),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_a_summary_is_the_first_paragraph_without_marks(markdown, text):
    assert summaries.summary(markdown) == text


def test_types_that_hold_themselves_have_an_end():
    tree = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/Tree"}}]}
    whole = {"$ref": "#/$defs/Tree", "$defs": {"Tree": tree}}
    inside = "integer or list of integer or list"
    assert summaries.kind(whole, whole).startswith(inside)
    given = {"type": "object", "properties": {"tree": {"$ref": "#/$defs/Tree"}}}
    taking = spec(input={**given, "$defs": {"Tree": tree}}, output=whole)
    assert summaries.shape(taking).count("→") == 1
    assert summaries.example(taking) == {}


@pytest.mark.parametrize("end", ["integer", "null"])
def test_types_that_branch_without_end_are_looked_at_for_a_moment(end):
    # Twice as much with each of them; looked at to the end it would take years.
    branches = {
        f"A{n}": {"anyOf": [{"$ref": f"#/$defs/A{n + 1}"}, {"$ref": f"#/$defs/A{n + 1}"}]}
        for n in range(60)
    }
    needs = {
        f"B{n}": {
            "type": "object",
            "properties": {side: {"$ref": f"#/$defs/B{n + 1}"} for side in "ab"},
            "required": ["a", "b"],
        }
        for n in range(60)
    }
    ends = {"A60": {"type": end}, "B60": {"type": end}}
    whole = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A0"}, "b": {"$ref": "#/$defs/B0"}},
        "required": ["a", "b"],
        "$defs": {**branches, **needs, **ends},
    }
    endless = spec(input=whole)
    assert summaries.shape(endless) and summaries.inputs(endless) and summaries.fields(endless)
    assert snippets(endless, summaries.example(endless))
    assert file_parameters(whole) == []
