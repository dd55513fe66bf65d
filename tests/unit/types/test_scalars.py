"""Text, numbers, choices and colors: bounds, words for the form, round trips."""

import json
from typing import Annotated, Optional

import jsonschema
import pytest
from pydantic import Field

import easymlnb.types as ml
from easymlnb.contract.errors import InvalidInput
from easymlnb.services.schema import Schema


def schema_of(hint, default=...) -> Schema:
    def f(x): ...

    f.__annotations__ |= {"x": hint, "return": hint}
    if default is not ...:
        f.__defaults__ = (default,)
    schema = Schema.of(f)
    jsonschema.Draft202012Validator.check_schema(schema.input)
    return schema


def load(schema: Schema, value):
    return schema.load_json(json.dumps({"x": value}).encode())["x"]


CASES = [
    (ml.Text(min_length=2, max_length=3, pattern="[a-z]+"), ["ab"], ["a", "abcd", "a1", 3]),
    (ml.LongText, ["a\nb", ""], [3]),
    (ml.Secret, ["s"], [None]),
    (ml.Number, [1, 1.5, -3], ["1", None, True]),
    (Annotated[int, ml.Number(1, 5)], [1, 5], [0, 6, 1.5]),
    (ml.Number(low=0), [0, 1e300], [-1]),
    (Annotated[int, ml.Slider(2, 100)], [2, 100], [1, 101, 2.5]),
    (ml.Slider(0.1, 10, log=True), [0.1], [0.05]),
    (Annotated[int | None, ml.Slider(1, 5)], [None, 3], [6]),
    (Annotated[Optional[int], ml.Slider(1, 5), Field(description="d")], [None, 3], [6]),  # noqa: UP045
    (ml.Interval(0, 10), [[0, 10], [3, 3]], [[4, 3], [-1, 5], [5, 11], [1], [1, 2, 3], 3]),
    (Annotated[tuple[int, int], ml.Interval(0, 10)], [[0, 10]], [[0.5, 1]]),
    (ml.Choice(["a", "b"]), ["a"], ["c", None, 1]),
    (ml.Choice([1, 2]), [1], [3, "1"]),
    (ml.Choice({"small": 1, "large": 2.5}), [2.5], [3]),
    (ml.MultipleChoice(["a", "b"], min_count=1), [["a"], ["b", "a"]], [[], ["a", "a"], ["c"], "a"]),
    (ml.MultipleChoice([1, 2, 3], max_count=2), [[], [3, 1]], [[1, 2, 3]]),
    (ml.Color, ["#1a2b3c"], ["red", "#12345", "#12345g", "#1234567", "#123456\n"]),
    (list[ml.Slider(1, 2)], [[1, 2]], [[3]]),
    (dict[str, ml.Choice(["a"])], [{"k": "a"}], [{"k": "b"}]),
]


@pytest.mark.parametrize(("hint", "good", "bad"), CASES)
def test_what_is_taken_is_what_the_schema_says(hint, good, bad):
    schema = schema_of(hint)
    validator = jsonschema.Draft202012Validator(schema.input)
    for value in good:
        found = load(schema, value)
        assert json.loads(schema.dump(found)) == value
        assert validator.is_valid({"x": value})
    for value in bad:
        with pytest.raises(InvalidInput) as error:
            load(schema, value)
        assert error.value.details[0]["field"].startswith("x")


WIDGETS = [
    (
        ml.Text(label="Name", placeholder="you"),
        {"widget": "text", "label": "Name", "placeholder": "you"},
    ),
    (ml.LongText, {"widget": "longtext"}),
    (ml.Secret, {"widget": "secret"}),
    (ml.Number(step=2, unit="kW"), {"widget": "number", "step": 2, "unit": "kW"}),
    (ml.Slider(1, 9, 2, log=True), {"widget": "slider", "step": 2, "log": True}),
    (ml.Interval(1, 9, 2), {"widget": "interval", "low": 1, "high": 9, "step": 2}),
    (ml.Choice(["a"]), {"widget": "choice"}),
    (ml.Choice({"A": "a"}), {"widget": "choice", "labels": ["A"]}),
    (ml.MultipleChoice(["a"]), {"widget": "choices"}),
    (ml.Color, {"widget": "color"}),
]


@pytest.mark.parametrize(("hint", "own"), WIDGETS)
def test_the_form_learns_its_widget(hint, own):
    assert schema_of(hint).input["properties"]["x"]["x-easymlnb"] == own


def test_bounds_are_json_schema():
    found = schema_of(Annotated[int, ml.Slider(2, 100)], 6).input["properties"]["x"]
    assert (found["minimum"], found["maximum"], found["default"]) == (2, 100, 6)
    ends = schema_of(ml.Interval(0, 10)).input["properties"]["x"]["prefixItems"]
    assert ends == [{"type": "number", "minimum": 0, "maximum": 10}] * 2
    assert schema_of(ml.Secret).input["properties"]["x"]["writeOnly"] is True
    choices = schema_of(ml.MultipleChoice(["a", "b"])).input["properties"]["x"]
    assert choices["items"]["enum"] == ["a", "b"] and choices["uniqueItems"] is True


@pytest.mark.parametrize(
    "make",
    [
        lambda: ml.Slider(5, 1),
        lambda: ml.Slider(0, 1, log=True),
        lambda: ml.Interval(5, 1),
        lambda: ml.Choice([]),
        lambda: ml.Choice(["a", "a"]),
        lambda: ml.Choice([object()]),
        lambda: ml.MultipleChoice(["a"], min_count=2),
    ],
)
def test_impossible_bounds_are_the_authors_error(make):
    with pytest.raises(ValueError):
        make()
