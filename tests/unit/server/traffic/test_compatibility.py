"""Which versions break the callers of another one."""

from typing import Any

import pytest

from easymlnb.services.schema import Schema
from easymlnb_server.traffic.compatibility import differences
from support.fakes import spec

PARAMETERS = {"x": {"type": "number"}, "how": {"type": "string", "default": "a"}}


def made(
    properties: dict[str, Any] | None = None,
    required: tuple[str, ...] = ("x",),
    output: Any = None,
    **more: Any,
) -> Any:
    schema = {
        "type": "object",
        "properties": PARAMETERS if properties is None else properties,
        "required": list(required),
    }
    out = {"type": "number"} if output is None else output
    return spec(**more).__class__(name="f", title="f", input=schema, output=out, **more)


def test_the_same_and_wider_versions_break_nothing() -> None:
    old = made()
    assert differences(old, old) == []
    wider = {
        "x": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "how": {"type": "string"},
        "more": {"type": "integer", "default": 1},
    }
    assert differences(old, made(wider, required=())) == []
    assert differences(made(output={"type": "number"}), made(output={"type": "integer"})) == []


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (made({"x": {"type": "number"}}), "parameter 'how' was removed"),
        (made(required=("x", "how")), "parameter 'how' is now required"),
        (
            made({**PARAMETERS, "z": {"type": "integer"}}, required=("x", "z")),
            "parameter 'z' is new and required",
        ),
        (
            made({**PARAMETERS, "x": {"type": "integer"}}),
            "parameter 'x' was number and is now integer",
        ),
        (made({**PARAMETERS, "x": {"type": "number", "minimum": 0}}), "new limit minimum 0"),
        (made({**PARAMETERS, "how": {"enum": ["a", "b"]}}), "no longer accepts others"),
        (made(output={"type": "string"}), "the result was number and is now string"),
        (made(output={}), "the result was number and may now be any value"),
        (
            made(output={"anyOf": [{"type": "number"}, {"type": "null"}]}),
            "the result may now be null",
        ),
        (made(stream=True), "the result is now a stream"),
    ],
)
def test_narrower_versions_break_callers(new: Any, said: str) -> None:
    assert any(said in found for found in differences(made(), new)), differences(made(), new)


def test_fields_of_results_and_items_of_inputs_are_compared() -> None:
    def table(**fields: str) -> dict[str, Any]:
        properties = {name: {"type": kind} for name, kind in fields.items()}
        return {"type": "object", "properties": properties, "required": [*fields]}

    old, new = made(output=table(a="number", b="string")), made(output=table(a="string"))
    assert differences(old, new) == [
        "'a' of the result was number and is now string",
        "'b' of the result was removed",
    ]
    lists = [
        made({"x": {"type": "array", "items": {"type": kind}}}) for kind in ("number", "integer")
    ]
    assert differences(lists[1], lists[0]) == []
    assert differences(*lists) == ["an item of parameter 'x' was number and is now integer"]


def test_media_types_and_choices_must_stay() -> None:
    old = made(accepts=("text/csv",), produces=("image/png", "image/tiff"))
    assert differences(old, made(accepts=("text/csv",), produces=("image/png",))) == [
        "it no longer returns image/tiff"
    ]
    choices = [made({"x": {"enum": list(values)}}) for values in ("abc", "ab")]
    assert differences(*choices) == ["parameter 'x' no longer accepts 'c'"]
    assert differences(choices[1], choices[0]) == []


def test_schemas_of_real_functions_are_compatible_with_themselves() -> None:
    def before(x: float, names: list[str], how: str | None = None) -> dict[str, float]: ...
    def after(
        x: float, names: list[str], how: str | None = None, n: int = 3
    ) -> dict[str, float]: ...
    def broken(x: int, names: list[int], how: str = "a") -> dict[str, str]: ...

    specs = [
        spec().__class__(name="f", title="f", input=one.input, output=one.output)
        for one in map(Schema.of, (before, after, broken))
    ]
    assert differences(specs[0], specs[0]) == differences(specs[0], specs[1]) == []
    assert differences(specs[0], specs[2]) == [
        "parameter 'x' was number and is now integer",
        "an item of parameter 'names' was string and is now integer",
        "parameter 'how' no longer accepts null",
        "a value in the result was number and is now string",
    ]


def test_recursive_schemas_are_read_to_an_end() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}
    document = {"$defs": {"N": node}, "type": "object", "properties": {"x": {"$ref": "#/$defs/N"}}}
    one = spec().__class__(
        name="f", title="f", input=document, output={"$ref": "#/$defs/N", **document}
    )
    assert differences(one, one) == []
