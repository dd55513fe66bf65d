"""Whole floats are integers in JSON Schema: ``int`` accepts them, and nothing else that is new."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

import easymlnb as ml
from easymlnb.contract.errors import InvalidInput
from easymlnb.services.schema import Schema


@dataclass
class Size:
    width: int
    scale: float = 1.0


ACCEPTED: list[tuple[Any, str, Any]] = [
    (int, "4.0", 4),
    (int, "-3e2", -300),
    (Annotated[int, ml.Slider(0, 9)], "9.0", 9),
    (int | None, "2.0", 2),
    (int | str, "2.0", 2),
    (list[int], "[1, 2.0, 3e0]", [1, 2, 3]),
    (dict[str, list[int]], '{"a": [1.0]}', {"a": [1]}),
    (tuple[str, int], '["a", 5.0]', ("a", 5)),
    (Literal[1, 2], "2.0", 2),
    (Size, '{"width": 3.0, "scale": 2.0}', Size(3, 2.0)),
    (list[Size], '[{"width": 1}, {"width": 2.0}]', [Size(1), Size(2)]),
]


@pytest.mark.parametrize(("hint", "text", "value"), ACCEPTED)
def test_whole_floats_are_integers(hint: Any, text: str, value: Any) -> None:
    def f(n): ...

    f.__annotations__["n"] = hint
    found = Schema.of(f).load_json(f'{{"n": {text}}}'.encode())["n"]
    assert found == value
    assert repr(found) == repr(value)  # 4.0 == 4


@pytest.mark.parametrize("text", ["4.5", '"4"', "true", "1e999", "null", "[4.0]"])
def test_other_values_are_refused_for_an_integer(text: str) -> None:
    def f(n: int): ...

    with pytest.raises(InvalidInput) as refused:
        Schema.of(f).load_json(f'{{"n": {text}}}'.encode())
    assert [item["field"] for item in refused.value.details] == ["n"]


def test_limits_hold_for_whole_floats() -> None:
    def f(n: Annotated[int, ml.Slider(0, 9)], other: float = 1.0): ...

    with pytest.raises(InvalidInput) as refused:
        Schema.of(f).load_json(b'{"n": 10.0, "other": 4.0}')
    assert [item["field"] for item in refused.value.details] == ["n"]


def test_other_values_of_the_body_stay_as_they_are() -> None:
    def f(n: int, x: float, any: Any): ...

    values = Schema.of(f).load_json(b'{"n": 1.0, "x": 2.0, "any": [3.0]}')
    assert repr(values) == repr({"n": 1, "x": 2.0, "any": [3.0]})
