"""A form that nobody touched sends what REST sends with ``{}``, for every type there is."""

import datetime as dt
import json
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import PIL.Image
import pydantic
import pytest
from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime
from typing_extensions import TypedDict

import easymlnb.types as ml
from easymlnb.contract.errors import InvalidInput
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.forms.containers import Group
from easymlnb.forms.fields import EMPTY_FIELD
from easymlnb.forms.registry import make
from easymlnb.services import codec
from easymlnb.services.schema import Schema

BERLIN = dt.timezone(dt.timedelta(hours=2))
EXACT = Decimal("12345678901234567890.12")


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Word(StrEnum):
    A = "a"
    B = "b"


class Pair(Enum):
    ONE = (1, 2)
    TWO = (3, 4)


class Thing(Enum):
    CIRCLE = {"r": 1}  # noqa: RUF012
    SQUARE = {"side": [1, 2]}  # noqa: RUF012


class Mixed(Enum):
    NUMBER = 1
    TEXT = "1"
    NONE = None
    YES = True


class Moment(Enum):
    NOON = dt.time(12)
    NIGHT = dt.time(0)


@dataclass
class Point:
    x: float = 0.1
    when: dt.datetime = dt.datetime(2025, 3, 4, 5, 6, tzinfo=BERLIN)
    tags: list[str] = field(default_factory=lambda: ["a"])


class Spot(NamedTuple):
    name: str
    at: Point = Point()


class Options(TypedDict, total=False):
    size: Decimal
    pair: Pair


class Model(BaseModel):
    point: Point = Point()
    amount: Decimal = EXACT
    secret: pydantic.SecretStr = pydantic.SecretStr("s")
    level: Level = Level.HIGH


class Renamed(BaseModel):
    model_config = {"populate_by_name": True}
    size: int = Field(3, alias="theSize")


DEFAULTS: list[tuple[Any, Any]] = [
    (str, "Ada"),
    (str, ""),
    (str, " two  blanks\nand a line "),
    (ml.LongText, "one\ntwo\n"),
    (ml.Secret, "s"),
    (Annotated[str, Field(pattern="^a+$", max_length=9)], "aa"),
    (Annotated[str, ml.Text(label="Name")], "x"),
    (int, 0),
    (int, -3),
    (int, 2**53 + 1),
    (int, 12345678901234567890),
    (int, -(10**30)),
    (Annotated[int, Field(ge=1, le=9)], 4),
    (Annotated[int, Field(gt=1, lt=9, multiple_of=2)], 4),
    (Annotated[int, Field(ge=0, le=2**60)], 2**59 + 1),
    (Annotated[int, ml.Slider(0, 100, 10)], 35),
    (float, 0.1),
    (float, -0.0),
    (float, 1e300),
    (float, 5e-324),
    (float, 0.1 + 0.2),
    (float, 3),
    (Annotated[float, ml.Slider(0, 1, 0.1)], 0.123456789),
    (Annotated[float, ml.Slider(1e-4, 1, log=True)], 0.0123),
    (Annotated[float, ml.Slider(0, 1)], 7.5),
    (Annotated[float, Field(ge=0, le=1)], 1 / 3),
    (Annotated[float, ml.Number(0, step=0.25)], 0.3),
    (Annotated[float, ml.Number(allow_nan=True)], math.nan),
    (Annotated[float, ml.Number(allow_nan=True)], -math.inf),
    (Decimal, EXACT),
    (Decimal, Decimal("1.10")),
    (Decimal, Decimal("1E+40")),
    (Decimal, Decimal("5")),
    (Annotated[Decimal, Field(max_digits=24, decimal_places=2)], EXACT),
    (Annotated[Decimal, Field(ge=0, le=1)], Decimal("0.5")),
    (complex, 1 + 2j),
    (bool, True),
    (bool, False),
    (Annotated[tuple[float, float], ml.Interval(0, 1)], (0.123456, 0.5)),
    (Annotated[tuple[int, int], ml.Interval(0, 10)], (1, 7)),
    (Annotated[tuple[float, float], ml.Interval()], (-1.0, 1e300)),
    (Literal["a", "b"], "b"),
    (Literal[1, 2, 3, 4, 5, 6], 5),
    (Literal[True, 1, "1", None], 1),
    (Literal["only"], "only"),
    (Level, Level.HIGH),
    (Word, Word.B),
    (Pair, Pair.TWO),
    (Thing, Thing.SQUARE),
    (Mixed, Mixed.TEXT),
    (Mixed, Mixed.NONE),
    (Moment, Moment.NOON),
    (Annotated[int, ml.Choice({"Two": 2, "Three": 3})], 3),
    (Annotated[list[str], ml.MultipleChoice(["a", "b", "c"])], ["c", "a"]),
    (Annotated[list[int], ml.MultipleChoice(list(range(20)))], [19, 3]),
    (ml.Color, "#ff8800"),
    (dt.date, dt.date(2025, 1, 31)),
    (dt.datetime, dt.datetime(2025, 1, 31, 12, 30, 15)),
    (dt.datetime, dt.datetime(2025, 1, 31, 12, 30, 15, 123456)),
    (dt.datetime, dt.datetime(2025, 1, 31, 12, 30, tzinfo=BERLIN)),
    (dt.datetime, dt.datetime(2025, 1, 31, 12, 30, tzinfo=dt.UTC)),
    (AwareDatetime, dt.datetime(2025, 1, 31, 12, 30, tzinfo=BERLIN)),
    (NaiveDatetime, dt.datetime(2025, 1, 31, 12, 30)),
    (dt.time, dt.time(12, 30, 15)),
    (dt.time, dt.time(12, 30, 15, 123456)),
    (dt.time, dt.time(12, 30, tzinfo=BERLIN)),
    (dt.timedelta, dt.timedelta(days=1, hours=2, microseconds=3)),
    (dt.timedelta, dt.timedelta(seconds=-90)),
    (uuid.UUID, uuid.UUID(int=7)),
    (pydantic.AnyUrl, pydantic.AnyUrl("https://example.org/a?b=c")),
    (pydantic.SecretStr, pydantic.SecretStr("s")),
    (ml.File, ml.File(b"1\0\xff", "a.bin")),
    (bytes, b"1\0\xff"),
    (bytes, b""),
    (Annotated[Path, ml.File()], Path(__file__)),
    (PIL.Image.Image, PIL.Image.new("L", (2, 3), 7)),
    (Annotated[np.ndarray, ml.Image()], np.eye(3, dtype="uint16")),
    (np.ndarray, np.eye(2)),
    (np.ndarray, np.array(3.5)),
    (Annotated[np.ndarray, ml.Array("int16", (None, 2))], np.array([[1, 2]], "int16")),
    (Annotated[np.ndarray, ml.Array(compact=True)], np.eye(2, dtype="float32")),
    (np.float32, np.float32(0.1)),
    (pd.DataFrame, pd.DataFrame({"a": [1, 2]})),
    (Annotated[pd.DataFrame, ml.TimeSeries()],
     pd.DataFrame({"a": [1.5, 2]}, index=pd.date_range("2025-01-01", periods=2, tz="UTC"))),
    (int | None, None),
    (int | None, 3),
    (int, None),
    (str | None, None),
    (str | None, ""),
    (str | None, "x"),
    (dt.datetime | None, dt.datetime(2025, 1, 31, tzinfo=BERLIN)),
    (Pair | None, Pair.ONE),
    (Pair | None, None),
    (bool | None, None),
    (bool | None, False),
    (Annotated[int, ml.Slider(0, 5)] | None, 3),
    (list[int] | None, None),
    (list[int] | None, []),
    (Point | None, Point()),
    (int | str, "three"),
    (int | str, 3),
    (int | str, "3"),
    (int | float, 3.0),
    (float | int, 3),
    (bool | int, 1),
    (bool | int, True),
    (int | list[int] | None, [4]),
    (dt.date | str, dt.date(2025, 1, 31)),
    (dt.datetime | Decimal, EXACT),
    (Point | Model, Model()),
    (list[str], ["a", ""]),
    (list[int | None], [1, None]),
    (list[list[Decimal]], [[EXACT]]),
    (list[Any], [1, None, {"a": [1.5]}]),
    (list[dt.datetime], [dt.datetime(2025, 1, 31, tzinfo=BERLIN)]),
    (list[Pair], [Pair.TWO]),
    (list[bytes], [b"\xff"]),
    (Sequence[int], [1, 2]),
    (set[int], {3, 1}),
    (frozenset[Word], frozenset({Word.A})),
    (set[Literal["a", "b"]], {"b"}),
    (tuple[int, str, bool], (1, "a", True)),
    (tuple[dt.datetime, Pair], (dt.datetime(2025, 1, 31, tzinfo=BERLIN), Pair.TWO)),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[()], ()),
    (dict[str, float], {"a": 0.1, "b": -2.0}),
    (dict[str, Any], {"a": None}),
    (dict[int, str], {1: "a"}),
    (dict[Word, Point], {Word.A: Point()}),
    (dict, {"a": [1]}),
    (Point, Point(x=1e300)),
    (Spot, Spot("a")),
    (Options, {"size": EXACT, "pair": Pair.TWO}),
    (Options, {}),
    (Model, Model()),
    (Renamed, Renamed(theSize=4)),
    (Any, {"free": [1, None, "x"]}),
    (Any, None),
    (Any, "text"),
    (object, 1),
]  # fmt: skip


def name(case: Any) -> str:
    return str(case)[:60]


def form_and_schema(hint: Any, default: Any) -> tuple[Group, Schema]:
    def f(x): ...

    f.__annotations__ = {"x": hint}
    f.__defaults__ = (default,)
    schema = Schema.of(f)
    return Group(SchemaNode.root(schema.input), make), schema


def same(schema: Schema, one: Any, other: Any) -> bool:
    """Tell whether two values are the same, down to digits, the sign of zero and the zone."""
    if isinstance(one, Path):
        return one.read_bytes() == other.read_bytes()
    if isinstance(one, np.ndarray | pd.DataFrame | PIL.Image.Image):
        return np.array_equal(np.asarray(one), np.asarray(other))
    if isinstance(one, float):
        return repr(one) == repr(float(other))
    written = [schema._reader.dump_json({"x": value}, warnings=False) for value in (one, other)]
    return type(one) is type(other) and written[0] == written[1] and (one == other)


@pytest.mark.parametrize(("hint", "default"), DEFAULTS, ids=name)
def test_an_untouched_form_sends_the_default(hint, default):
    group, schema = form_and_schema(hint, default)
    assert group.check() is None
    sent = json.dumps(group.get(), allow_nan=False)
    found, expected = schema.load_json(sent.encode())["x"], schema.load_json(b"{}")["x"]
    assert same(schema, found, expected), (sent, found, expected)


@pytest.mark.parametrize(("hint", "default"), DEFAULTS, ids=name)
def test_what_the_schema_has_as_a_default_may_be_sent(hint, default):
    _, schema = form_and_schema(hint, default)
    for value in (schema.input["properties"]["x"].get("default", ()),):
        if value != ():
            schema.load_json(json.dumps({"x": value}).encode())


def test_a_default_that_its_own_hint_refuses_is_left_to_the_function():
    group, schema = form_and_schema(Annotated[float, ml.Slider(0, 1)], 7.5)
    assert "default" not in schema.input["properties"]["x"]
    assert group.get() == {}
    assert schema.load_json(b"{}") == {"x": 7.5}


def test_a_secret_default_stays_with_the_service():
    group, schema = form_and_schema(pydantic.SecretStr, pydantic.SecretStr("hidden"))
    assert "default" not in schema.input["properties"]["x"] and group.get() == {}

    def nested(x: Model): ...

    group = Group(SchemaNode.root(Schema.of(nested).input), make)
    assert "secret" not in group.get()["x"]


def test_a_list_whose_default_is_not_known_is_left_out_until_it_is_wanted():
    def f(x: Point): ...

    schema = Schema.of(f)
    group = Group(SchemaNode.root(schema.input), make)
    assert schema.load_json(json.dumps(group.get()).encode())["x"].tags == ["a"]
    group.set({"x": {"tags": []}})
    assert schema.load_json(json.dumps(group.get()).encode())["x"].tags == []


# what a person changes


def edited(hint: Any, default: Any, change: Any) -> Any:
    """Return what a form sends after a person changed a widget of its field."""
    group, schema = form_and_schema(hint, default)
    change(group.fields["x"].control)
    assert group.check() is None
    sent = group.get()
    schema.load_json(json.dumps(sent).encode())
    return sent["x"]


def zoned(picked: Any, zone: str) -> Any:
    def change(control: Any) -> None:
        picker, box = control.widget.children
        picker.value, box.value = picked, zone

    return change


AT = dt.datetime(2025, 7, 1, 12)


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        ("", ""),
        ("Z", "Z"),
        ("utc", "Z"),
        ("+2", "+02:00"),
        ("-0330", "-03:30"),
        ("+05:30", "+05:30"),
        ("Europe/Berlin", "+02:00"),
    ],
)
def test_a_moment_is_sent_with_the_zone_that_is_typed(zone, written):
    default = dt.datetime(2025, 1, 31, 12, 30, tzinfo=BERLIN)
    found = edited(dt.datetime, default, zoned(AT, zone))
    assert found == f"2025-07-01T12:00:00{written}"


def test_a_moment_that_needs_a_zone_can_be_filled_in():
    def f(x: AwareDatetime): ...

    schema = Schema.of(f)
    group = Group(SchemaNode.root(schema.input), make)
    zoned(AT, "+02:00")(group.fields["x"].control)
    assert group.check() is None
    assert schema.load_json(json.dumps(group.get()).encode())["x"].utcoffset().seconds == 7200


def test_a_zone_that_is_none_is_told_at_its_field():
    group, _ = form_and_schema(dt.datetime, AT)
    zoned(AT, "nowhere")(group.fields["x"].control)
    assert group.check() == ""
    assert "Europe/Berlin" in group.fields["x"]._error.value


def test_the_day_can_change_and_the_zone_stays():
    default = dt.datetime(2025, 1, 31, 12, 30, tzinfo=BERLIN)

    def change(control: Any) -> None:
        control.widget.children[0].value = AT

    assert edited(dt.datetime, default, change) == "2025-07-01T12:00:00+02:00"


def test_a_time_of_day_keeps_its_zone():
    def change(control: Any) -> None:
        control.widget.children[0].value = dt.time(1, 2)

    assert edited(dt.time, dt.time(12, tzinfo=BERLIN), change) == "01:02:00+02:00"
    group, _ = form_and_schema(dt.time, dt.time(12))
    assert len(group.fields["x"].control.widget.children) == 1


def typed(text: str) -> Any:
    def change(control: Any) -> None:
        control.widget.value = text

    return change


@pytest.mark.parametrize(
    ("text", "sent"),
    [("98765432109876543210.98", "98765432109876543210.98"), ("1.50", 1.5), ("2.5", 2.5)],
)
def test_a_decimal_is_sent_with_all_its_digits(text, sent):
    assert edited(Decimal, EXACT, typed(text)) == sent


def test_a_large_whole_number_is_typed_so_that_no_browser_rounds_it():
    assert edited(int, 2**53 + 1, typed(str(2**53 + 3))) == 2**53 + 3


def test_a_slider_sends_what_it_shows():
    def dragged(control: Any) -> None:
        control.widget.value = 0.30000000000000004

    assert edited(Annotated[float, ml.Slider(0, 1, 0.1)], 0.5, dragged) == 0.3
    group, _ = form_and_schema(Annotated[float, ml.Slider(0, 1, 0.1)], 0.123456789)
    assert group.fields["x"].control.widget.readout_format == ".6f"

    def log(control: Any) -> None:
        control.widget.value = 0.012589254117941664

    assert edited(Annotated[float, ml.Slider(1e-4, 1, log=True)], 0.5, log) == 0.01259


@pytest.mark.parametrize(
    ("hint", "default", "ends"),
    [
        (Annotated[int, ml.Slider(-20, 20)], 0, ("-20", "20")),
        (Annotated[int, ml.Slider(0, 20_000, 100)], 0, ("0", "20\u2009000")),
        (Annotated[float, ml.Slider(0.01, 1.0, 0.01)], 0.5, ("0.01", "1")),
        (Annotated[float, ml.Slider(1e-4, 1, log=True)], 0.5, ("0.0001", "1")),
        (Annotated[tuple[float, float], ml.Interval(0, 2.5)], (0, 1), ("0", "2.5")),
    ],
)
def test_a_slider_shows_its_ends(hint, default, ends):
    group, _ = form_and_schema(hint, default)
    shown = "".join(getattr(one, "value", "") for one in group.fields["x"].widget.children[1:])
    low, high = ends
    assert f"<span>{low}</span><span>{high}</span>" in shown


def test_an_enum_of_pairs_is_chosen_by_name():
    group, schema = form_and_schema(Pair, Pair.TWO)
    control = group.fields["x"].control
    assert control.widget.options == ("ONE", "TWO")
    control.widget.index = 0
    assert group.get() == {"x": [1, 2]}
    assert schema.load_json(b'{"x": [1, 2]}')["x"] is Pair.ONE
    for wrong in (b'{"x": [1, 3]}', b'{"x": "ONE"}', b'{"x": null}'):
        with pytest.raises(InvalidInput, match="one of"):
            schema.load_json(wrong)


def test_enums_of_objects_and_times_travel_both_ways():
    def f(x: Thing, y: dict[str, Moment], z: Pair | None = None) -> list[Thing]: ...

    schema = Schema.of(f)
    found = schema.load_json(b'{"x": {"side": [1, 2]}, "y": {"a": "12:00:00"}, "z": [3, 4]}')
    assert found == {"x": Thing.SQUARE, "y": {"a": Moment.NOON}, "z": Pair.TWO}
    assert schema.dump([Thing.CIRCLE]) == b'[{"r":1}]'
    assert schema.encode_input(found)["x"] == {"side": [1, 2]}
    part = codec.decode_request(schema, *form_body({"x": '{"r": 1}', "y": "{}", "z": "[1, 2]"}))
    assert part["x"] is Thing.CIRCLE and part["z"] is Pair.ONE


def form_body(parts: dict[str, str]) -> tuple[str, bytes]:
    body = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{text}\r\n'
        for key, text in parts.items()
    )
    return "multipart/form-data; boundary=b", f"{body}--b--\r\n".encode()


# what is shown is what is sent


@pytest.mark.parametrize(
    ("hint", "default"),
    [
        (Decimal, EXACT),
        (dt.date, dt.date(2025, 1, 31)),
        (dt.datetime, AT),
        (Annotated[float, ml.Number(allow_nan=True)], 0.5),
        (Any, {"a": 1}),
        (ml.Color, "#ff8800"),
    ],
)
def test_a_field_that_is_emptied_does_not_quietly_take_its_default(hint, default):
    group, _ = form_and_schema(hint, default)
    control = group.fields["x"].control
    widget = getattr(control.widget, "children", [control.widget])[0]
    widget.value = None if "Date" in type(widget).__name__ else ""
    assert group.check() == ""
    assert EMPTY_FIELD in group.fields["x"]._error.value


def test_an_emptied_field_is_null_where_null_is_meant():
    group, _ = form_and_schema(dt.date | None, dt.date(2025, 1, 31))
    group.fields["x"].control.field.control.widget.value = None
    assert group.check() is None and group.get() == {"x": None}


def test_a_color_that_is_none_is_told_at_its_field():
    group, _ = form_and_schema(ml.Color, "#ff8800")
    text, palette = group.fields["x"].control.widget.children
    text.value = "notacolor"
    assert group.check() == ""
    assert "The value must be a color" in group.fields["x"]._error.value
    assert group.get() == {"x": "notacolor"}
    palette.value = "#00ff00"
    assert text.value == "#00ff00" and group.get() == {"x": "#00ff00"}
    text.value = "#AABBCC"
    assert palette.value == "#aabbcc"
    group.clear_errors()
    assert group.check() is None and group.get() == {"x": "#AABBCC"}


def test_a_list_that_is_full_says_so():
    group, _ = form_and_schema(Annotated[list[int], Field(max_length=2)], [1])
    rows = group.fields["x"].control
    assert not rows._add.disabled and rows._limit.value == ""
    rows.add()
    assert rows._add.disabled and "At most 2" in rows._limit.value
