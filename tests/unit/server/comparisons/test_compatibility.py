"""Versions that cannot take the same inputs are not compared."""

from typing import Any

import pytest

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.comparisons.compatibility import problems


def spec(
    properties: dict[str, Any], output: dict[str, Any] | None = None, **more: Any
) -> ServiceSpec:
    required = more.pop("required", [])
    schema = {"type": "object", "properties": properties, "required": required}
    return ServiceSpec(name="f", title="f", input=schema, output=output or {}, **more)


NUMBER, TEXT = {"type": "number"}, {"type": "string"}
IMAGE = {"anyOf": [TEXT, {"type": "object"}], "x-easymlnb": {"widget": "image"}}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (spec({"x": NUMBER}), spec({"x": {"type": "integer"}}), ""),
        (spec({"x": NUMBER}), spec({"x": NUMBER, "y": TEXT}), ""),
        (spec({"x": NUMBER}), spec({"x": {}}), ""),
        (spec({"x": NUMBER}), spec({"x": {"anyOf": [NUMBER, TEXT]}}), ""),
        (spec({"x": NUMBER}), spec({"x": NUMBER, "y": TEXT}, required=["y"]), "'y' is new"),
        (spec({"x": NUMBER}), spec({}), "'x' was removed"),
        (spec({"x": NUMBER}), spec({"x": TEXT}), "it was number and is string"),
        (spec({"x": IMAGE}), spec({"x": TEXT}), "it was image and is string"),
        (spec({}, NUMBER), spec({}, IMAGE), "The result was number and is image"),
        (spec({}), spec({}, stream=True), "streams"),
    ],
)
def test_problems(before: ServiceSpec, after: ServiceSpec, found: str) -> None:
    text = " ".join(problems(before, after))
    assert found in text
    assert bool(found) == bool(text)
