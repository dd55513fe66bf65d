"""A service in words: its shape, its parameters, its ready-made calls."""

import ast
import shlex

import pytest

from easymlnb.contract.spec import ServiceSpec
from easymlnb.contract.takers import takers
from easymlnb_server import words

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
    assert words.shape(spec("image count")) == "image, integer → number"
    assert words.shape(spec()) == "image, integer, choice and 2 more → number"
    assert words.shape(spec("")) == "nothing → number"
    assert words.shape(spec("day", stream=True)) == "date → stream of number"


def test_parameters_become_rows():
    rows = {field.name: field for field in words.fields(spec())}
    assert rows["image"].required and rows["image"].kind == "image"
    assert rows["count"].default == "3" and rows["count"].limits == "from 1, to 9"
    assert rows["names"].kind == "choices" and rows["names"].limits == 'one of "it\'s", "b"'
    assert rows["day"].description == "Which day."


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({}, "any value"),
        ({"type": ["string", "null"]}, "string or null"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "integer or text"),
        ({"$ref": "#/$defs/Circle"}, "any value"),
        ({"type": "array"}, "list"),
    ],
)
def test_types_are_words(schema, kind):
    assert words.kind(schema, {"$defs": {"Circle": {"$ref": "#/$defs/Circle"}}}) == kind


def code(language, **changes):
    names = changes.pop("names", "count mode")
    return dict(words.snippets(spec(names, **changes), "http://h/easymlnb/"))[language]


def test_the_python_call_is_python():
    text = code("Python", examples=({"count": 2, "mode": 'a"\n'},))
    tree = ast.parse(text)
    call = tree.body[-1].value.args[0]
    assert {k.arg: ast.literal_eval(k.value) for k in call.keywords} == {"count": 2, "mode": 'a"\n'}
    assert 'Path("image.png")' in code("Python", names="image")
    assert code("Python", names="", stream=True).endswith("for item in c.f():\n    print(item)")


@pytest.mark.parametrize("name", ["call", "log", "class", "services"])
def test_names_that_python_or_the_client_uses_are_items(name):
    assert f'c["{name}"](' in code("Python", name=name)


def test_the_curl_call_survives_a_shell():
    arguments = shlex.split(code("curl", examples=({"mode": "it's $HOME"},)))
    assert arguments[:2] == ["curl", "http://h/easymlnb/services/f/call"]
    assert arguments[-1] == '{"mode": "it\'s $HOME"}'
    files = shlex.split(code("curl", names="image mode", produces=("image/png",)))
    assert "image=@image.png" in files and "mode=it's" in files
    assert "Accept: image/png" in files and "result.png" in files


def test_the_javascript_call_quotes_its_values():
    assert 'JSON.stringify({"mode": "it\'s"})' in code("JavaScript")
    assert "input.files[0]" in code("JavaScript", names="image")
    assert "await answer.blob()" in code("JavaScript", produces=("image/png",))


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
    assert words.summary(markdown) == text


def test_types_that_hold_themselves_have_an_end():
    tree = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/Tree"}}]}
    whole = {"$ref": "#/$defs/Tree", "$defs": {"Tree": tree}}
    inside = "integer or list of integer or list"
    assert words.kind(whole, whole).startswith(inside)
    given = {"type": "object", "properties": {"tree": {"$ref": "#/$defs/Tree"}}}
    taking = spec(input={**given, "$defs": {"Tree": tree}}, output=whole)
    assert words.shape(taking).count("→") == 1
    assert words.snippets(taking, "http://h/")


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
    assert words.shape(endless) and words.inputs(endless) and words.fields(endless)
    assert words.snippets(endless, "http://h/")
    assert takers(whole) == []
