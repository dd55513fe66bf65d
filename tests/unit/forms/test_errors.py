"""Messages find their fields."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from pydantic import Field

from easymlnb.contract.errors import InvalidInput
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms.containers import Group
from easymlnb.forms.registry import make
from easymlnb.services.schema import Schema


@dataclass
class Point:
    x: Annotated[float, Field(ge=0)]
    y: float = 0.0


def service(
    count: Annotated[int, Field(ge=0)] = 1,
    start: Point = Point(0),  # noqa: B008
    points: list[Point] = [],  # noqa: B006
    marks: dict[str, Point] = {},  # noqa: B006
    maybe: Point | None = None,
    either: Point | list[int] = [1],  # noqa: B006
    pair: tuple[int, Annotated[int, Field(ge=0)]] = (1, 2),
): ...


SCHEMA = Schema.of(service)


@pytest.fixture
def group() -> Group:
    return Group(SchemaNode.root(SCHEMA.input), make)


def marked(field, path=()) -> list[str]:
    """Return where messages stand, as paths of names."""
    found = [".".join(path)] if "em-invalid" in field.widget._dom_classes else []
    control = field.control
    inner = dict(getattr(control, "fields", {}))
    inner |= {str(at): row.field for at, row in enumerate(getattr(control, "rows", ()))}
    if not inner and hasattr(control, "field") and (getattr(control, "_on", True)):
        chosen = control.field
        return found + [
            spot
            for spot in marked(chosen, path)
            if spot != ".".join(path) or "em-invalid" in chosen.widget._dom_classes
        ]
    for name, one in inner.items():
        found += marked(one, (*path, name))
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"count": -1}, "count"),
        ({"start": {"x": -1.0}}, "start.x"),
        ({"points": [{"x": 1.0}, {"x": -2.0}]}, "points.1.x"),
        ({"maybe": {"x": -1.0}}, "maybe.x"),
        ({"either": {"x": -1.0}}, "either.x"),
        ({"pair": [1, -2]}, "pair.1"),
    ],
)
def test_the_checks_of_a_call_mark_the_field_and_keep_what_was_typed(group, values, expected):
    group.set(values)
    sent = group.get()
    with pytest.raises(InvalidInput) as caught:
        SCHEMA.load(sent)
    for item in caught.value.details:
        assert group.show_error(item["field"].split("."), item["message"])
    spots = [spot for name, field in group.fields.items() for spot in marked(field, (name,))]
    assert expected in spots
    assert group.get() == sent
    group.clear_errors()
    assert not [spot for name, field in group.fields.items() for spot in marked(field, (name,))]


def test_a_message_in_a_map_finds_the_row_of_that_name(group):
    group.set({"marks": {"a": {"x": 1.0}, "b": {"x": 2.0}}})
    assert group.show_error(["marks", "b", "x"], "Too far.")
    rows = group.fields["marks"].control.rows
    assert "Too far." in rows[1].field.control.fields["x"]._error.value


def test_a_path_that_leads_nowhere_stops_at_the_last_known_field(group):
    assert group.show_error(["points", "7", "x"], "Gone.")
    assert "Gone." in group.fields["points"]._error.value
    assert group.show_error(["count", "[key]"], "Odd.")
    assert "Odd." in group.fields["count"]._error.value
    assert not group.show_error(["unheard_of"], "No place for it.")


def test_rows_are_added_removed_and_counted(group):
    rows = group.fields["points"].control
    rows.add({"x": 1.0})
    rows.add({"x": 2.0})
    rows.add()
    assert group.check() == ""
    rows.rows[2].widget.children[-1].click()
    rows.rows[0].widget.children[-1].click()
    assert group.get()["points"] == [{"x": 2.0, "y": 0.0}]


def test_a_list_starts_with_its_least_and_ends_at_its_most():
    def f(x: Annotated[list[int], Field(min_length=1, max_length=2)]): ...

    group = Group(SchemaNode.root(Schema.of(f).input), make)
    rows = group.fields["x"].control
    assert len(rows.rows) == 1
    rows.add(5)
    assert rows._add.disabled


def test_two_rows_of_a_map_must_not_share_a_name(group):
    rows = group.fields["marks"].control
    rows.add({"x": 1.0}, "a")
    rows.add({"x": 2.0}, "a")
    assert group.check() == ""
    assert "Give each row a unique name" in group.fields["marks"]._error.value
