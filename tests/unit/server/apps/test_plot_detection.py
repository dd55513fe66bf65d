"""Only pages that may show a plot load what draws plots."""

from typing import Any

import pytest

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.apps.plot_detection import may_plot


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"type": "integer"}, False),
        ({"type": "object", "additionalProperties": {"type": "number"}}, False),
        ({"type": "object", "additionalProperties": {}}, True),
        ({"type": "object", "additionalProperties": True}, True),
        ({"type": "array", "items": {"type": "string"}}, False),
        ({"type": "array"}, True),
        ({}, True),
        ({"x-easymlnb": {"widget": "plot"}, "type": "object"}, True),
        ({"x-easymlnb": {"widget": "timeseries"}, "anyOf": [{"type": "string"}]}, True),
        ({"x-easymlnb": {"widget": "table"}, "items": {"type": "object"}, "type": "array"}, False),
        ({"type": "object", "properties": {"a": {"x-easymlnb": {"widget": "plot"}}}}, True),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, False),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {}}}}, False),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"x": {}}, "type": "object"}}}, True),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}}, False),
    ],
)
def test_a_result_may_be_a_plot_where_hints_say_so_or_nothing(output: Any, expected: bool) -> None:
    spec = ServiceSpec(name="x", title="X", input={}, output=output)
    assert may_plot(spec) is expected


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ({"column": [{"row": [{"static": {"kind": "plotly", "data": {}}}]}]}, True),
        ({"column": [{"static": {"kind": "json", "data": {"kind": "plotly"}}}]}, False),
        ({"column": [{"static": "plotly"}, {"part": "form"}]}, False),
    ],
)
def test_a_plot_in_the_authors_layout_counts(app: Any, expected: bool) -> None:
    spec = ServiceSpec(name="x", title="X", input={}, output={"type": "integer"}, app=app)
    assert may_plot(spec) is expected
