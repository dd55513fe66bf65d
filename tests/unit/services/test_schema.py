import contextlib
import datetime
import enum
import importlib.util
import json
import math
import re
import subprocess
import sys
import types
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, JsonValue

import easymlnb.types as ml
from easymlnb import _HOMES
from easymlnb.contract.errors import BadRequest, DefinitionError, InvalidInput, ResultNotEncodable
from easymlnb.services import codec
from easymlnb.services.schema import Schema


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Model(BaseModel):
    size: float = 1.0
    tags: list[str] = []


@dataclass
class Point:
    x: float
    y: float = 0.0


class Options(TypedDict, total=False):
    deep: bool


class Job(TypedDict):
    name: str
    mask: NotRequired[np.ndarray]


class Pair(NamedTuple):
    left: int
    right: np.ndarray


@dataclass
class Outcome:
    mask: np.ndarray
    table: pd.DataFrame
    count: int = 0


def checked(schema: Schema) -> Schema:
    for part in (schema.input, schema.output):
        jsonschema.Draft202012Validator.check_schema(part)
    return schema


def refused(schema: Schema, body: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as error:
        schema.load_json(body if isinstance(body, bytes) else json.dumps(body).encode())
    return {item["field"]: item["message"] for item in error.value.details}


def everything(
    number: float,
    flag: bool,
    when: datetime.date,
    at: datetime.datetime,
    span: datetime.timedelta,
    price: Decimal,
    key: uuid.UUID,
    color: Color,
    kind: Literal["a", "b"],
    model: Model,
    point: Point,
    options: Options,
    pair: tuple[int, str],
    either: int | str,
    names: dict[str, list[int]],
    maybe: int | None,
) -> None: ...


EVERYTHING = {
    "number": 1.5,
    "flag": True,
    "when": "2025-01-31",
    "at": "2025-01-31T12:00:00Z",
    "span": "PT3S",
    "price": "1.10",
    "key": "12345678-1234-5678-1234-567812345678",
    "color": "red",
    "kind": "a",
    "model": {"size": 2.0},
    "point": {"x": 1.0},
    "options": {"deep": True},
    "pair": [1, "x"],
    "either": "x",
    "names": {"a": [1]},
    "maybe": None,
}


def test_everything_pydantic_knows_is_read():
    schema = checked(Schema.of(everything))
    jsonschema.validate(EVERYTHING, schema.input)
    found = schema.load_json(json.dumps(EVERYTHING).encode())
    assert found["when"] == datetime.date(2025, 1, 31)
    assert found["color"] is Color.RED
    assert found["model"] == Model(size=2.0)
    assert found["point"] == Point(1.0)
    assert found["pair"] == (1, "x")
    assert found["price"] == Decimal("1.10")
    assert schema.load(found) == found
    assert schema.encode_input(found)["when"] == "2025-01-31"
    assert schema.input["additionalProperties"] is False
    assert "$schema" in schema.input


def test_future_annotations_work():
    path = Path(__file__).with_name("future_hints.py")
    spec = importlib.util.spec_from_file_location("future_hints", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["future_hints"] = module
    spec.loader.exec_module(module)
    schema = checked(Schema.of(module.move))
    values = schema.load_json(b'{"at": {"x": 1.0}, "path": [{"x": 2.0, "y": 3.0}]}')
    assert values["by"] == 2 and values["path"] == [module.Point(2.0, 3.0)]
    assert json.loads(schema.dump(module.move(**values))) == {"at": [3.0, 0.0]}
    assert "by" in refused(schema, {"at": {"x": 1.0}, "by": 9})


@pytest.mark.parametrize(
    "name", ["model_name", "model_config", "copy", "json", "schema", "validate", "self", "dict"]
)
def test_any_parameter_name_works(name):
    scope: dict = {}
    exec(f"def f({name}: int = 1): return {name}", scope)
    schema = checked(Schema.of(scope["f"]))
    assert schema.load_json(f'{{"{name}": 3}}'.encode()) == {name: 3}


def test_defaults_stand_in_and_are_in_the_schema():
    marker = object()

    def f(a: int = 3, b: Any = marker, c=2.0, d=None, e: float | None = None): ...

    schema = checked(Schema.of(f))
    assert schema.load_json(b"{}") == {"a": 3, "b": marker, "c": 2.0, "d": None, "e": None}
    assert schema.input["properties"]["a"]["default"] == 3
    assert "default" not in schema.input["properties"]["b"]
    assert schema.input["properties"]["c"]["type"] == "number"
    assert schema.load_json(b'{"d": {"any": [1]}, "e": null}')["d"] == {"any": [1]}
    assert refused(schema, {"c": "x"}) == {"c": "The value must be a number."}


def test_descriptions_reach_the_schema():
    def f(sides: int) -> int:
        """Roll.

        Args:
            sides: How many.

        Returns:
            The roll.
        """

    schema = Schema.of(f)
    assert schema.description == "Roll."
    assert schema.input["properties"]["sides"]["description"] == "How many."
    assert schema.output["description"] == "The roll."


def nested(a: list[Point], b: int | str = 1, c: Annotated[int, Field(ge=2)] = 3) -> int: ...


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"a": [{"x": "no"}]}, "a.0.x", "The value must be a number."),
        ({"a": [{"y": 1}]}, "a.0.x", "A value is required."),
        ({"a": [{"x": 1, "z": 1}]}, "a.0.z", "Unknown field. Remove it."),
        ({}, "a", "A value is required."),
        ({"a": [], "d": 1}, "d", "The service has no such parameter. Remove it."),
        (
            {"a": [], "b": 1.5},
            "b",
            "The value must be a whole number. Or: The value must be a string.",
        ),
        ({"a": [], "c": 1}, "c", "The value must be at least 2."),
        ({"a": [], "c": "3"}, "c", "The value must be a whole number."),
        ({"a": [], "c": True}, "c", "The value must be a whole number."),
        ({"a": 3}, "a", "The value must be a list."),
    ],
)
def test_errors_name_the_field_in_plain_words(body, field, message):
    assert refused(Schema.of(nested), body)[field] == message


def test_a_secret_is_never_repeated():
    def f(password: Annotated[ml.Secret, Field(max_length=3)], n: int): ...

    with pytest.raises(InvalidInput) as error:
        Schema.of(f).load_json(b'{"password": "hunter2", "n": "hunter2"}')
    assert "hunter2" not in str(error.value.to_dict())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"{", "not valid JSON"),
        (b'{"x": 1} trailing', "not valid JSON"),
        (b"\xff\xfe{}", "UTF-8"),
        (b'{"x": "\xff"}', "UTF-8"),
        (b'{"x": "\\ud800"}', "not valid JSON"),
        (b"[1]", "JSON object"),
        (b"3", "JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"x":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_a_bad_request(body, said):
    def f(x: Any): ...

    with pytest.raises(BadRequest, match=said) as error:
        Schema.of(f).load_json(body)
    assert not isinstance(error.value, InvalidInput) and len(error.value.message) < 300


@pytest.mark.parametrize(
    "hint", [float, Any, list, dict, list[float], Model, Point, Decimal, JsonValue]
)
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_only_finite_numbers_pass(hint, number):
    def f(x): ...

    f.__annotations__["x"] = hint
    text = {
        list: f"[{number}]",
        dict: f'{{"a": [{number}]}}',
        list[float]: f"[{number}]",
        Model: f'{{"size": {number}}}',
        Point: f'{{"x": {number}}}',
    }.get(hint, number)
    if (hint, number) == (Decimal, "1e999"):
        pytest.skip("a Decimal holds 1e999")
    with pytest.raises(InvalidInput):
        Schema.of(f).load_json(f'{{"x": {text}}}'.encode())


def test_declared_nan_passes_both_ways():
    def f(
        x: Annotated[float, ml.Number(allow_nan=True)],
    ) -> Annotated[float, ml.Number(allow_nan=True)]: ...

    schema = checked(Schema.of(f))
    assert math.isnan(schema.load_json(b'{"x": "NaN"}')["x"])
    assert schema.load_json(b'{"x": "-Infinity"}')["x"] == -math.inf
    assert schema.dump(math.nan) == b'"NaN"' and schema.dump(1.5) == b"1.5"
    jsonschema.validate("NaN", schema.output)


def test_undeclared_nan_becomes_null_in_results():
    def f() -> dict[str, float]: ...
    def g(): ...

    assert Schema.of(f).dump({"a": math.nan}) == b'{"a":null}'
    assert Schema.of(g).dump([math.inf, np.float32("nan")]) == b"[null,null]"


class Callback:
    pass


@pytest.mark.parametrize(
    "hint", [Callback, Callback(), {"a": int}, list[Callback], object.__eq__, ml.Plot]
)
def test_unusable_hints_name_the_parameter(hint):
    def f(good: int, callback): ...

    f.__annotations__["callback"] = hint
    with pytest.raises(DefinitionError, match="'callback' of 'f'"):
        Schema.of(f)


@pytest.mark.parametrize(
    "hint",
    [
        ml.Choice,
        ml.Slider,
        ml.Text(pattern="("),
        Annotated[str, ml.Slider(1, 2)],
        Annotated[int, ml.LongText()],
        Annotated[int | None, ml.Color()],
        Annotated[str, ml.MultipleChoice(["a"])],
        Annotated[dict, ml.Interval(1, 2)],
    ],
)
def test_markers_that_do_not_fit_name_the_parameter(hint):
    def f(x): ...

    f.__annotations__["x"] = hint
    with pytest.raises(DefinitionError, match="'x' of 'f'"):
        Schema.of(f)


def test_unusable_return_hint_is_refused():
    def f() -> Callback: ...

    with pytest.raises(DefinitionError, match="return hint"):
        Schema.of(f)


def test_default_of_unknown_kind_is_refused():
    def f(x=Callback()): ...  # noqa: B008

    with pytest.raises(DefinitionError, match="'x' of 'f'"):
        Schema.of(f)


@pytest.mark.parametrize(
    ("hint", "value", "said"),
    [
        (int, np.int64(3), b"3"),
        (float, np.float32(0.5), b"0.5"),
        (bool, np.bool_(True), b"true"),
        (list[float], np.array([1.0, 2.0]), b"[1.0,2.0]"),
        (dict[str, int], {"a": np.int32(1)}, b'{"a":1}'),
        (np.ndarray, [[1, 2]], b"[[1,2]]"),
        (Point, {"x": 1, "y": 2}, b'{"x":1.0,"y":2.0}'),
        (tuple[int, str], (1, "a"), b'[1,"a"]'),
        (Pair, Pair(1, np.array([2])), b'{"left":1,"right":[2]}'),
        (None, None, b"null"),
        (
            Outcome,
            Outcome(np.eye(2, dtype=int), pd.DataFrame({"a": [1]}), 3),
            b'{"mask":[[1,0],[0,1]],"table":[{"a":1}],"count":3}',
        ),
    ],
)
def test_results_fit_their_hint(hint, value, said):
    def f(): ...

    f.__annotations__["return"] = hint
    schema = checked(Schema.of(f))
    assert schema.dump(value) == said
    jsonschema.validate(json.loads(said), schema.output)


@pytest.mark.parametrize("hint", [Any, dict, dict[str, Any], object])
def test_open_hints_take_whatever_can_be_sent(hint, tmp_path):
    def f(): ...

    file = tmp_path / "a.txt"
    file.write_bytes(b"hi")
    f.__annotations__["return"] = hint
    value = {"a": np.array([1]), "b": file, "c": [np.float32(0.5)], "d": math.nan, "e": b"hi"}
    sent = {"b64": "aGk=", "name": "a.txt", "media_type": "text/plain"}
    found = json.loads(Schema.of(f).dump(value))
    assert (found["a"], found["b"], found["c"], found["d"]) == ([1], sent, [0.5], None)
    with pytest.raises(ResultNotEncodable, match=r"at 'a.0': .*Callback"):
        Schema.of(f).dump({"a": [Callback()]})


class Aliased(BaseModel):
    size: int = Field(alias="n")


@pytest.mark.parametrize("hint", [Aliased, list[Aliased]])
def test_results_have_the_names_of_their_schema(hint):
    def f() -> hint: ...

    schema = Schema.of(f)
    one: Any = Aliased(n=1)
    value = one if hint is Aliased else [one]
    written = json.loads(schema.dump(value))
    jsonschema.validate(written, schema.output)
    assert written == ({"n": 1} if hint is Aliased else [{"n": 1}])


def test_results_that_break_their_hint_are_refused():
    def f() -> dict[str, list[int]]: ...

    with pytest.raises(
        ResultNotEncodable, match=r"'f' \(dict\).*'a.1': The value must be a whole number"
    ):
        Schema.of(f).dump({"a": [1, "x"]})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, Callback()]}, "at 'a.1': .*Callback"),
        (Callback(), "Callback"),
        ({Callback(): 1}, "keys must be strings"),
        ({"f": np.array([object()])}, "at 'f': an array of object"),
    ],
)
def test_results_without_json_form_are_named(value, said):
    def f(): ...

    with pytest.raises(ResultNotEncodable, match=said):
        Schema.of(f).dump(value)


def test_a_result_that_contains_itself_is_refused():
    def f(): ...
    def g() -> list: ...

    endless: list = []
    endless.append(endless)
    for function in (f, g):
        with pytest.raises(ResultNotEncodable, match="contains itself"):
            Schema.of(function).dump(endless)


def test_a_result_nested_without_sense_is_refused():
    def f(): ...
    def g() -> list: ...

    deep: list = []
    for _ in range(5000):
        deep = [deep]
    for function in (f, g):
        with pytest.raises(ResultNotEncodable, match="nested"):
            Schema.of(function).dump(deep)


def test_results_without_hint_are_written_by_what_they_are():
    def f(): ...

    value = {
        "scalar": np.int8(3),
        "when": datetime.date(2025, 1, 2),
        "color": Color.BLUE,
        "model": Model(),
        "point": Point(1),
        "pair": Pair(1, np.array([True])),
        "frame": pd.DataFrame({"a": [1.0, None]}),
        "set": {1},
        Color.RED: 1,
        2: 3,
    }
    assert json.loads(Schema.of(f).dump(value)) == {
        "scalar": 3,
        "when": "2025-01-02",
        "color": "blue",
        "model": {"size": 1.0, "tags": []},
        "point": {"x": 1, "y": 0.0},
        "pair": {"left": 1, "right": [True]},
        "frame": [{"a": 1.0}, {"a": None}],
        "set": [1],
        "red": 1,
        "2": 3,
    }


def test_iterables_are_checked_before_the_call():
    def f(x: Iterable[int]): ...

    assert Schema.of(f).load_json(b'{"x": [1, 2]}') == {"x": [1, 2]}
    assert refused(Schema.of(f), {"x": [1, "a"]}) == {"x.1": "The value must be a whole number."}


def test_typed_dicts_know_what_is_required():
    def f(job: Job) -> Job: ...

    schema = checked(Schema.of(f))
    assert schema.load_json(b'{"job": {"name": "a"}}') == {"job": {"name": "a"}}
    assert schema.load_json(b'{"job": {"name": "a", "mask": [1]}}')["job"]["mask"].tolist() == [1]
    assert refused(schema, {"job": {"mask": [1], "x": 1}}) == {
        "job.name": "A value is required.",
        "job.x": "Unknown field. Remove it.",
    }
    assert schema.dump({"name": "a", "mask": np.array([1])}) == b'{"name":"a","mask":[1]}'


def test_a_recursive_model_and_dataclass_work():
    class Node(BaseModel):
        children: list["Node"] = []

    def f(node: Node): ...

    schema = checked(Schema.of(f))
    assert schema.load_json(b'{"node": {"children": [{}]}}')["node"].children == [Node()]


def test_our_types_work_inside_pydantic_models():
    class Job(BaseModel):
        picture: ml.Image
        values: Annotated[np.ndarray, ml.Array("float32", (2,))]

    def f(job: Job): ...

    schema = checked(Schema.of(f))
    assert refused(schema, {"job": {"picture": "x", "values": [1]}}).keys() == {
        "job.picture",
        "job.values",
    }


DOCS = Path(__file__).parents[3] / "docs/reference"


def test_a_type_of_ones_own_works_as_documented():
    text = (DOCS / "types.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.+?)```", text, re.S)
    names: dict = {"ml": ml}
    exec(source.replace("import easymlnb as ml", ""), names)
    Molecule, MoleculeType = names["Molecule"], names["MoleculeType"]

    def f(
        m: MoleculeType, more: list[Annotated[Molecule, MoleculeType()]] | None = None
    ) -> MoleculeType: ...

    schema = checked(Schema.of(f))
    assert schema.load_json(b'{"m": "CCO", "more": ["C"]}')["more"][0].smiles == "C"
    assert refused(schema, {"m": "?"}) == {"m": "It must be a molecule in SMILES, such as CCO."}
    assert schema.dump(Molecule("CCO")) == b'"CCO"'
    smiles = "chemical/x-daylight-smiles"
    assert schema.accepts == schema.produces == (smiles,)
    assert codec.decode_request(schema, smiles, b"CCO")["m"].smiles == "CCO"
    assert codec.encode_response(schema, Molecule("CCO"), smiles).body == b"CCO"


def test_a_type_may_stand_for_a_class_by_its_name():
    class Graph(list):
        pass

    Graph.__module__, Graph.__qualname__ = "tests_of_graphs", "Graph"
    sys.modules["tests_of_graphs"] = types.SimpleNamespace(Graph=Graph)

    class GraphType(ml.Type):
        natives = ("tests_of_graphs.Graph",)

        def json_schema(self):
            return {"type": "array"}

        def decode(self, value, source):
            return source(value)

        def encode(self, value):
            return ["graph", *value]

    def f(g: Graph, more: dict[str, Graph | None]) -> list[Graph]: ...
    def untyped(): ...

    try:
        schema = checked(Schema.of(f))
        found = schema.load_json(b'{"g": [1], "more": {"a": [2], "b": null}}')
        assert type(found["g"]) is type(found["more"]["a"]) is Graph
        assert schema.dump([Graph([1])]) == b'[["graph",1]]'
        assert Schema.of(untyped).dump({"a": Graph([1])}) == b'{"a":["graph",1]}'
    finally:
        del sys.modules["tests_of_graphs"]


def test_every_public_type_and_widget_is_documented():
    text = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    for name in set(_HOMES["types"].split()) - {"Hint"}:
        assert f"`{name}" in text or f"ml.{name}" in text, name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(JSON)
def test_any_json_value_survives(value):
    for schema in (ANY, UNTYPED):
        assert schema.load_json(json.dumps({"x": value}).encode()) == {"x": value}
        assert json.loads(schema.dump(value)) == value


def _any(x: Any) -> Any: ...
def _untyped(x): ...


ANY, UNTYPED = Schema.of(_any), Schema.of(_untyped)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_no_body_raises_anything_but_our_errors(body):
    with contextlib.suppress(BadRequest, InvalidInput):
        NESTED.load_json(body)


NESTED = Schema.of(nested)


def test_importing_the_schema_pulls_in_no_data_libraries():
    heavy = "numpy pandas PIL torch matplotlib plotly multipart nh3 markdown_it docstring_parser"
    code = (
        "import sys, easymlnb.services.schema; "
        f"sys.exit(str(set({heavy.split()!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "set()"
