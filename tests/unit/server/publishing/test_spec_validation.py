"""What a worker may offer: nothing that breaks the lists of others."""

from typing import Any

import nbformat
import pytest

from easymlnb.contract.errors import DeploymentFailed
from easymlnb.contract.metadata import Metadata
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.publishing.spec_validation import LARGEST_TEXT, validate_specs

NOTEBOOK = nbformat.v4.new_notebook()


def offer(**said: Any) -> ServiceSpec:
    plain: dict[str, Any] = {"name": "f", "title": "F", "input": {}, "output": {}}
    return ServiceSpec(**(plain | said))


def deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"type": "object", "properties": {"a": found}}
    return found


def test_what_a_notebook_says_is_taken() -> None:
    image = {"type": "string", "x-easymlnb": {"widget": "image", "accept": ["image/*"]}}
    given = {"type": "object", "properties": {"image": image}, "required": ["image"]}
    said = offer(
        input=given,
        output=deep(30),
        description="# Say\n\nmuch",
        examples=({"image": "A" * 2 * LARGEST_TEXT},),
        metadata=Metadata(),
    )
    assert validate_specs([said], NOTEBOOK) == [said]


@pytest.mark.parametrize("name", ["", "../../bob/one", "bob/one", "a\nb", "F", "x" * 64])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(DeploymentFailed, match="Invalid service name"):
        validate_specs([offer(name=name)], NOTEBOOK)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": 5},
        {"properties": {"a": {"anyOf": 3}}},
        {"properties": {"a": {"x-easymlnb": 4}}},
        {"properties": {"a": {}}, "required": 1},
        {"properties": {"a": {"type": "array", "items": {}, "anyOf": [{"type": [1]}]}}},
        deep(2000),
    ],
)
def test_schemas_that_cannot_be_read_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(DeploymentFailed, match="cannot be read"):
        validate_specs([offer(input=schema)], NOTEBOOK)


def test_texts_too_long_for_lists_are_refused() -> None:
    with pytest.raises(DeploymentFailed, match="over the limit"):
        validate_specs([offer(description="a" * LARGEST_TEXT)], NOTEBOOK)
    page = {"parts": ["a" * 33 * 2**20]}
    with pytest.raises(DeploymentFailed, match="over the limit"):
        validate_specs([offer(app=page)], NOTEBOOK)
