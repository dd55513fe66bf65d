"""The reader of JSON Schema: references, alternatives, hints, and its limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easymlnb.client.signatures import type_text
from easymlnb.contract.file_parameters import file_parameters
from easymlnb.contract.jsonschema import (
    HINTS,
    MAX_NODES,
    Budget,
    SchemaNode,
    alternatives,
    branches,
    check,
    hints,
    is_nullable,
    lookup,
    resolve,
    walk,
)
from easymlnb.forms.unions import fits
from easymlnb.forms.widget_kinds import widget_kind
from easymlnb.types import multipart

NAMES = st.text(alphabet="ab/~% {}", max_size=4)
"""Names of definitions, which a pointer has to escape."""

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
POINTERS = NAMES.map(lambda name: f"#/$defs/{escaped(name)}") | st.sampled_from(
    ["#", "#/$defs/a", "#/$defs/b", "http://host/schema", "nothing", ""]
)


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1").replace("%", "%25")


def schemas_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas, also with values where a keyword takes others."""
    some = st.lists(inner, max_size=3) | SCALARS
    return st.fixed_dictionaries(
        {},
        optional={
            "$ref": POINTERS | SCALARS,
            "anyOf": some,
            "oneOf": some,
            "allOf": some,
            "items": inner,
            "prefixItems": some,
            "additionalProperties": inner,
            "properties": st.dictionaries(NAMES, inner, max_size=3) | SCALARS,
            "type": st.sampled_from(
                ["string", "null", "array", "object", ["string", "null"], [], 5]
            ),
            "required": some,
            "title": st.text(max_size=3),
            HINTS: st.just({"accept": ["a/b"]}) | st.just({"widget": "image"}) | SCALARS,
        },
    )


SCHEMAS = st.recursive(SCALARS | schemas_of(SCALARS), schemas_of, max_leaves=12)
DOCUMENTS = st.builds(
    lambda defs, root: {**(root if isinstance(root, dict) else {}), "$defs": defs},
    st.dictionaries(NAMES | st.sampled_from(["a", "b"]), SCHEMAS, max_size=4),
    SCHEMAS,
)


@given(DOCUMENTS)
def test_any_document_can_be_read(document: dict[str, Any]) -> None:
    found = resolve(document, document)
    assert "$ref" not in found
    assert resolve(found, document) == found
    for one in (*walk(document, document), *branches(document, document)):
        assert "$ref" not in one
    assert all(isinstance(hint, str) for hint in hints(document, document))
    assert type_text(document, document)
    assert multipart.shape(document, document)
    node = SchemaNode.root(document)
    assert widget_kind(node)
    assert isinstance(node.title, str)
    assert all(one.get("type") != "null" for one in node.alternatives)
    assert fits(node, {"a": [None]}) in (True, False)


@given(DOCUMENTS)
def test_alternatives_are_the_branches_without_null(document: dict[str, Any]) -> None:
    found = [one for one in branches(document, document) if one.get("type") != "null"]
    assert [one for one in alternatives(document, document) if one.get("type") != "null"] == found


@given(NAMES, st.integers())
def test_pointers_reach_every_name(name: str, value: int) -> None:
    document = {"$defs": {name: {"const": value}}}
    pointer = f"#/$defs/{escaped(name)}"
    assert lookup(pointer, document) == {"const": value}
    beside = {"$ref": pointer, "title": "T"}
    assert resolve(beside, document) == {"const": value, "title": "T"}


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("#", {"a": [{"b": 1}]}),
        ("#/a/0/b", 1),
        ("#/a/1", None),
        ("#/a/x", None),
        ("#/a/0/b/c", None),
        ("other.json#/a", None),
    ],
)
def test_pointers_lead_into_lists_and_nowhere_else(pointer: str, found: Any) -> None:
    assert lookup(pointer, {"a": [{"b": 1}]}) == found


def test_unions_are_flattened_unless_they_are_leaves() -> None:
    inner = {"anyOf": [{"type": "integer"}, {"type": ["string", "null"]}], "title": "Inner"}
    document = {"$defs": {"U": inner}, "oneOf": [{"$ref": "#/$defs/U"}, {"type": "boolean"}]}
    kinds = [one["type"] for one in branches(document, document)]
    assert kinds == ["integer", "string", "null", "boolean"]
    assert [one["type"] for one in alternatives(document, document)] == [
        "integer",
        "string",
        "boolean",
    ]
    whole = list(branches(document, document, is_leaf=lambda one: one.get("title") == "Inner"))
    assert whole == [inner, {"type": "boolean"}]
    assert list(alternatives({"type": "null"}, {})) == [{"type": "null"}]


def test_hints_are_a_parameters_own_or_those_of_an_alternative() -> None:
    hinted = {"type": "string", HINTS: {"unit": "m"}}
    assert hints({"anyOf": [hinted, {"type": "null"}], HINTS: {"unit": "s"}}, {}) == {"unit": "s"}
    assert hints({"anyOf": [{"type": "null"}, {"anyOf": [hinted]}]}, {}) == {"unit": "m"}
    assert hints({"type": "string"}, {}) == {}


def test_null_behind_a_reference_makes_a_parameter_nullable() -> None:
    document = {"$defs": {"No": {"type": "null"}}}
    schema = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/No"}]}
    assert is_nullable(schema, document)
    node = SchemaNode.root(document).child(schema)
    assert node.nullable and len(node.alternatives) == 1


def doubling(levels: int, *keys: str) -> dict[str, Any]:
    """A document that is twice as large with each level, written out."""
    defs: dict[str, Any] = {f"A{levels}": {"type": "string", HINTS: {"accept": ["a/b"]}}}
    for level in range(levels):
        twice = [{"$ref": f"#/$defs/A{level + 1}"}] * 2
        defs[f"A{level}"] = {
            "anyOf": twice,
            "type": "object",
            "properties": dict(zip("ab", twice, strict=True)),
        }
    return {"$ref": "#/$defs/A0", "$defs": defs}


def test_documents_that_double_with_each_level_are_read_once() -> None:
    document = doubling(200)
    assert len(list(walk(document, document))) < 1000
    assert len(list(branches(document, document))) < 1000
    given = {**document, "properties": {"a": {"$ref": "#/$defs/A0"}}}
    assert [one.name for one in file_parameters(given)] == ["a"]
    assert len(file_parameters(given)[0].accept) < 1000


def test_types_that_contain_themselves_have_an_end() -> None:
    lists = {"$defs": {"L": {"type": "array", "items": {"$ref": "#/$defs/L"}}}}
    text = type_text({"$ref": "#/$defs/L"}, lists)
    assert text.startswith("list[list[") and len(text) < 200
    union = {"$defs": {"U": {"anyOf": [{"$ref": "#/$defs/U"}, {"type": "integer"}]}}}
    node = SchemaNode.root(union).child({"$ref": "#/$defs/U"})
    assert fits(node, 1) and not fits(node, "a")


def test_a_budget_is_shared() -> None:
    many = {"anyOf": [{"const": number} for number in range(100)]}
    budget = Budget(60)
    assert len(list(branches(many, many, budget=budget))) == 59
    assert list(branches(many, many, budget=budget)) == []
    huge = {"anyOf": [{"const": number} for number in range(2 * MAX_NODES)]}
    assert len(list(walk(huge, huge))) == MAX_NODES


@pytest.mark.parametrize(
    "schema",
    [
        5,
        {"properties": 5},
        {"properties": {"a": {"anyOf": 3}}},
        {"$defs": {"a": {"type": [1]}}},
        {"items": {"$ref": 1}},
        {"additionalProperties": {"required": "a"}},
        {"allOf": [{HINTS: 4}]},
    ],
)
def test_malformed_schemas_are_found(schema: Any) -> None:
    with pytest.raises(ValueError, match=r"Invalid value of|is not a schema"):
        check(schema)


def test_schemas_that_pydantic_writes_are_well_formed() -> None:
    check({"type": "array", "prefixItems": [True, {"type": ["string", "null"]}], "items": False})
