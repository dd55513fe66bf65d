"""Values through the fields: what is filled in comes out, and the service takes it."""

import json
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from easymlnb.contract.json_values import count_nodes
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms.containers import Group
from easymlnb.forms.form import EXTRA_WIDGETS, Form
from easymlnb.forms.local_caller import LocalCaller
from easymlnb.forms.registry import make
from easymlnb.forms.rows import ROWS
from easymlnb.services.definition import define
from easymlnb.services.schema import Schema
from easymlnb.types.choices import Choice, MultipleChoice
from easymlnb.types.numbers import Interval, Number, Slider
from easymlnb.types.text import Color, LongText, Secret


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel):
    kind: Literal["square"]
    side: float


@dataclass
class Point:
    x: float
    y: float = 0.5


class Place(TypedDict):
    name: str
    at: list[Point]


class Tree(BaseModel):
    name: str
    kids: list["Tree"] = []
    twin: "Tree | None" = None


class Size(Enum):
    small = "s"
    large = "l"


def form_of(function: Any) -> tuple[Group, Schema]:
    schema = Schema.of(function)
    return Group(SchemaNode.root(schema.input), make), schema


CASES = [
    (str, "Ada"),
    (LongText, "one\ntwo"),
    (Secret, "pass"),
    (int, 12345678901234567890),
    (float, -2.5),
    (Decimal, 2.5),
    (Annotated[int, Field(ge=1, le=9)], 4),
    (Annotated[float, Slider(0, 1, 0.05)], 0.35),
    (Annotated[float, Slider(1e-4, 1, log=True)], 0.01),
    (Annotated[float, Number(allow_nan=True)], "NaN"),
    (Annotated[tuple[float, float], Interval(0, 10)], [1.5, 7.25]),
    (Annotated[tuple[int, int], Interval(0, 10)], [1, 7]),
    (Annotated[tuple[float, float], Interval()], [-1.0, 7.0]),
    (bool, True),
    (Literal["a", "b"], "b"),
    (Literal["only"], "only"),
    (Literal[1, 2, 3, 4, 5, 6], 5),
    (Literal[True, 1, "1"], 1),
    (Size, "l"),
    (Annotated[str, Choice({"Long name of the first": "a", "Another long one": "b"})], "b"),
    (Annotated[list[str], MultipleChoice(["a", "b", "c"])], ["a", "c"]),
    (Annotated[list[int], MultipleChoice(list(range(20)))], [19, 3]),
    (Color, "#ff8800"),
    (date, "2026-11-20"),
    (datetime, "2026-11-20T13:37:05"),
    (time, "13:37:05"),
    (int | None, 3),
    (int | None, None),
    (Annotated[int, Slider(0, 5)] | None, 3),
    (Annotated[int, Slider(0, 5)] | None, None),
    (list[int] | None, [1]),
    (Point | None, {"x": 1.0, "y": 2.0}),
    (Point | None, None),
    (int | str, "three"),
    (int | str, 3),
    (int | list[int] | None, [4]),
    (int | list[int] | None, None),
    (Circle | Square, {"kind": "square", "side": 2.0}),
    (Annotated[Circle | Square, Field(discriminator="kind")], {"kind": "square", "side": 2.0}),
    (list[str], ["a", "b"]),
    (list[str], []),
    (set[int], [1, 2]),
    (list[list[int]], [[1], [2, 3]]),
    (list[Point], [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 0.5}]),
    (tuple[int, str, bool], [1, "a", True]),
    (tuple[int, ...], [1, 2, 3]),
    (dict[str, float], {"a": 1.0, "b": -2.0}),
    (dict[str, list[Point]], {"a": [{"x": 1.0, "y": 0.5}]}),
    (Point, {"x": 1.0, "y": 0.5}),
    (Place, {"name": "home", "at": [{"x": 1.0, "y": 0.5}]}),
    (
        Tree,
        {"name": "a", "kids": [{"name": "b", "kids": [], "twin": None}], "twin": None},
    ),
    (Any, {"free": [1, None, "x"]}),
    (dict, {"a": 1}),
]


@pytest.mark.parametrize(("hint", "value"), CASES)
def test_what_is_filled_in_comes_out_and_is_taken(hint, value):
    def f(x): ...

    f.__annotations__ = {"x": hint}
    group, schema = form_of(f)
    group.set({"x": value})
    assert group.check() is None
    found = group.get()
    assert found == {"x": value}
    assert type(found["x"]) is type(value)
    schema.load_json(json.dumps(found).encode())


@pytest.mark.parametrize(("hint", "value"), CASES)
def test_a_default_is_filled_in_and_comes_back_after_an_example(hint, value):
    schema = {"type": "object", "$defs": {}}

    def f(x): ...

    f.__annotations__ = {"x": hint}
    found = Schema.of(f).input
    prop = {**found["properties"]["x"], "default": value}
    schema = {**found, "properties": {"x": prop}, "required": []}
    group = Group(SchemaNode.root(schema), make)
    assert group.get() == {"x": value}
    group.set({})
    assert group.get() == {"x": value}


def test_what_is_left_empty_is_left_out():
    def f(a: str, b: float, c: date, d: Literal["x", "y", "z", "1", "2"], e: Literal["x", "y"]): ...

    group, _ = form_of(f)
    assert group.get() == {}
    assert group.check() is not None
    said = [field._error.value for field in group.fields.values()]
    assert all("Please fill in this field." in one for one in said)


def test_an_empty_text_counts_where_a_default_shows_that_it_can_be_meant():
    def f(a: str = "x"): ...

    group, _ = form_of(f)
    group.set({"a": ""})
    assert group.get() == {"a": ""}


def test_a_parameter_without_known_default_is_left_out_until_switched_on():
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "minimum": 0, "maximum": 5},
            "b": {"type": "boolean"},
        },
    }
    group = Group(SchemaNode.root(schema), make)
    assert group.get() == {}
    group.set({"a": 3, "b": False})
    assert group.get() == {"a": 3, "b": False}


def test_what_is_typed_wrongly_stays_for_the_service_to_refuse_in_words():
    def f(a: int, b: float): ...

    group, _ = form_of(f)
    group.fields["a"].control.widget.value = "2.5"
    group.fields["b"].control.widget.value = "1e999"
    assert group.get() == {"a": 2.5, "b": "1e999"}


def test_broken_json_is_told_at_its_field():
    def f(a: Any): ...

    group, _ = form_of(f)
    group.fields["a"].control.widget.value = '{"x": NaN}'
    assert group.check() == ""
    assert "Invalid JSON" in group.fields["a"]._error.value
    group.fields["a"].control.widget.value = '{"x": 1}'
    group.clear_errors()
    assert group.check() is None
    assert group.get() == {"a": {"x": 1}}


def test_an_example_that_a_widget_cannot_show_leaves_the_form_alive():
    def f(a: Literal["x", "y"] = "x", b: date = date(2026, 1, 1), c: list[int] = [1]): ...  # noqa: B006

    group, _ = form_of(f)
    group.set({"a": "gone", "b": "no date", "c": "no list"})
    assert group.get() == {"b": "2026-01-01", "c": []}


def test_texts_of_authors_stay_text():
    nasty = "<img src=x onerror=alert(1)>"
    schema = {
        "type": "object",
        "properties": {
            "a": {"title": nasty, "description": nasty, "type": "string"},
            "b": {"title": nasty, "enum": [nasty, "c"]},
        },
    }
    group = Group(SchemaNode.root(schema), make)
    group.fields["a"].show_error((), nasty)

    def widgets(one):
        yield one
        for child in getattr(one, "children", ()):
            yield from widgets(child)

    for widget in widgets(group.widget):
        if hasattr(widget, "description_allow_html"):
            assert widget.description_allow_html is False
        if type(widget).__name__ == "HTML":
            assert "<img" not in widget.value


def test_a_form_is_made_from_the_spec_alone():
    from easymlnb.contract.spec import ServiceSpec

    spec = ServiceSpec(name="roll", title="Roll", input={"type": "object"}, output={})
    assert Form(ServiceSpec.from_dict(spec.to_dict()), caller=None).values() == {}


# more than rows show


def listing(names: list[str], tally: dict[str, int], grid: list[list[int]]) -> None: ...


MUCH: dict[str, Any] = {
    "names": ["a"] * 1000,
    "tally": {str(at): at for at in range(1000)},
    "grid": [[1, 2, 3]] * 300,
}


@pytest.mark.parametrize("name", MUCH)
def test_more_values_than_rows_show_are_edited_as_json(name):
    group, schema = form_of(listing)
    control = group.fields[name].control
    few = control.widget.children
    group.set(MUCH)
    assert control.rows == []
    assert group.get()[name] == MUCH[name]
    assert schema.load(group.get())[name] == MUCH[name]
    (text,) = control.widget.children
    text.value = "no JSON"
    assert not group.fields[name].check()
    text.value = ""
    assert group.get()[name] == type(MUCH[name])()
    group.set({name: MUCH[name][:3] if isinstance(MUCH[name], list) else {"a": 1}})
    assert control.widget.children == few
    assert control.rows
    group.set({})
    assert group.get()[name] == type(MUCH[name])()


def test_rows_are_added_up_to_a_bound():
    group, _ = form_of(listing)
    control = group.fields["names"].control
    control.set(["a"] * (ROWS - 1))
    assert not control._add.disabled
    control.add("b")
    assert control._add.disabled


@pytest.mark.parametrize("levels", [40, 200])
def test_values_that_contain_themselves_are_folded_into_json_at_some_depth(levels):
    def f(tree: Tree) -> None: ...

    value: dict[str, Any] = {"name": "leaf"}
    for _ in range(levels):
        value = {"name": "x", "twin": value}
    form = Form(define(f).spec, LocalCaller(define(f)))
    before = len(form.context.widgets)
    form.fill({"tree": value})
    assert len(form.context.widgets) < before + 2 * EXTRA_WIDGETS


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 100_000 + "]" * 100_000, "1" * 10_000])
def test_json_that_python_does_not_read_is_a_message_at_the_field(text):
    def f(x: Any) -> None: ...

    group, _ = form_of(f)
    group.fields["x"].control.widget.value = text
    assert not group.fields["x"].check()
    assert group.get() == {"x": text}


@pytest.mark.parametrize(
    ("value", "count"),
    [(1, 1), ([], 1), ([1, 2], 3), ({"a": [1]}, 3), ([[]] * 5, 6), ([1] * 11, 11), ([[1] * 9], 11)],
)
def test_values_are_counted_up_to_a_bound(value, count):
    assert count_nodes(value, 10) == count


def test_values_that_are_too_deep_count_as_too_many():
    assert count_nodes([[[1]]], 10, 4) == 4
    assert count_nodes([[[1]]], 10, 3) == 11
