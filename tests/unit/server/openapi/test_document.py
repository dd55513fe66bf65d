"""The OpenAPI document: valid, complete, and with every reference pointing somewhere."""

from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from openapi_spec_validator import OpenAPIV31SpecValidator

from easymlnb.contract.errors import BY_CODE, EasyMLNBError
from easymlnb.contract.metadata import Metadata
from easymlnb.contract.spec import VIEW, ServiceSpec
from easymlnb_server.http.routes import OPERATIONS
from easymlnb_server.openapi.document import NEVER_SENT, document, service_document
from easymlnb_server.openapi.schemas import ErrorResponse
from easymlnb_server.services.responses import ServiceNames, ServiceState, describe

COLOUR = {"type": "string", "enum": ["red", "green"]}
TREE = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/Tree"}, "color": {"$ref": "#/$defs/Color"}},
}
ROLL = ServiceSpec(
    name="roll",
    title="Roll a die",
    description="Rolls **once**.",
    input={
        "type": "object",
        "properties": {
            "sides": {"type": "integer", "minimum": 2, "default": 6},
            "tree": {"$ref": "#/$defs/Tree"},
            "$ref": {"type": "string", "default": "#/$defs/Color"},
        },
        "required": ["tree"],
        "additionalProperties": False,
        "$defs": {"Tree": TREE, "Color": COLOUR},
    },
    output={"type": "integer"},
    examples=({"sides": 6, "tree": {"$ref": "#/$defs/untouched"}},),
)
SEGMENT = ServiceSpec(
    name="segment",
    title="Segment",
    input={
        "type": "object",
        "properties": {
            "image": {
                "type": "string",
                "title": "Image",
                "x-easymlnb": {"widget": "image", "accept": ["image/png", ".tif"]},
            },
            "threshold": {"type": "number", "default": 0.5},
        },
        "required": ["image"],
    },
    output={"type": "string", "x-easymlnb": {"widget": "image"}},
    accepts=("image/png", "image/tiff"),
    produces=("image/png",),
)
COUNT = ServiceSpec(
    name="count",
    title="Count",
    input={"type": "object", "properties": {"n": {"type": "integer"}}},
    output={"$ref": "#/$defs/A~1[B]", "$defs": {"A/[B]": {"type": "integer"}}},
    stream=True,
)


def whole(*specs: ServiceSpec) -> dict[str, Any]:
    return document(specs, OPERATIONS, url="/user/a/easymlnb/", version="0.1")


def references(value: Any, at: str = "") -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in references(item, at)]
    if not isinstance(value, dict):
        return []
    here = [value["$ref"]] if isinstance(value.get("$ref"), str) and at != "value" else []
    return here + [
        found for key, item in value.items() if key != "value" for found in references(item, key)
    ]


def resolve(found: dict[str, Any], pointer: str) -> Any:
    assert pointer.startswith("#/"), pointer
    value: Any = found
    for part in pointer[2:].split("/"):
        value = value[part]
    return value


@pytest.mark.parametrize("specs", [(), (ROLL,), (ROLL, SEGMENT, COUNT)])
def test_the_document_is_valid_openapi(specs):
    found = whole(*specs)
    OpenAPIV31SpecValidator(found).validate()
    assert found["openapi"].startswith("3.1")


@pytest.mark.parametrize("spec", [ROLL, SEGMENT, COUNT])
def test_the_document_of_one_service_is_valid_openapi(spec):
    found = service_document(spec, url="https://host/easymlnb", version="0.1")
    OpenAPIV31SpecValidator(found).validate()
    assert set(found["paths"]) == {f"/services/{spec.name}/{way}" for way in ("call", "view")}


def test_every_reference_points_at_something():
    found = whole(ROLL, SEGMENT, COUNT)
    pointers = references(found)
    assert len(pointers) > 50
    for pointer in pointers:
        resolve(found, pointer)


def test_generators_of_clients_can_read_the_schemas():
    found = whole(ROLL, SEGMENT, COUNT)
    schemas = found["components"]["schemas"]
    assert {"JobsFileShown", "ModelRegistryFileShown"} <= schemas.keys()
    titles = [one["title"] for one in schemas.values() if "title" in one]
    assert len(titles) == len(set(titles))
    left = [found]
    while left:
        node = left.pop()
        left += node if isinstance(node, list) else node.values() if isinstance(node, dict) else ()
        if isinstance(node, dict) and "array" in (node.get("type"), *_kinds(node)):
            assert {"items", "prefixItems"} & node.keys(), node
            assert node.get("items") is not False, node


def _kinds(node: dict[str, Any]) -> list[str]:
    kinds = node.get("type")
    return kinds if isinstance(kinds, list) else []


def test_definitions_become_components_and_data_stays_as_it_is():
    schemas = whole(ROLL, COUNT)["components"]["schemas"]
    given = schemas["roll.Input"]
    assert "$defs" not in given
    assert given["properties"]["tree"] == {"$ref": "#/components/schemas/roll.Input.Tree"}
    assert given["properties"]["$ref"]["default"] == "#/$defs/Color"
    tree = schemas["roll.Input.Tree"]["properties"]
    assert tree["color"]["$ref"] == "#/components/schemas/roll.Input.Color"
    assert schemas["count.Output"]["$ref"] == "#/components/schemas/count.Output.A__B_"
    assert ROLL.input["$defs"]["Tree"] == TREE


def test_a_discriminator_is_rewritten_too():
    spec = ServiceSpec(
        name="pick",
        title="Pick",
        input={"type": "object", "properties": {}},
        output={
            "oneOf": [{"$ref": "#/$defs/Cat"}],
            "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/$defs/Cat"}},
            "$defs": {"Cat": {"type": "object", "properties": {"again": {"$ref": "#"}}}},
        },
    )
    schemas = whole(spec)["components"]["schemas"]
    mapping = schemas["pick.Output"]["discriminator"]["mapping"]
    assert mapping == {"cat": "#/components/schemas/pick.Output.Cat"}
    again = schemas["pick.Output.Cat"]["properties"]["again"]
    assert again == {"$ref": "#/components/schemas/pick.Output"}


def test_a_call_describes_its_bodies_and_answers():
    found = whole(SEGMENT)["paths"]["/services/segment/call"]["post"]
    bodies = found["requestBody"]["content"]
    assert set(bodies) == {"application/json", "multipart/form-data", "image/png", "image/tiff"}
    form = bodies["multipart/form-data"]
    assert form["schema"]["properties"]["image"]["format"] == "binary"
    assert form["schema"]["properties"]["threshold"] == {"type": "number", "default": 0.5}
    assert form["encoding"] == {"image": {"contentType": "image/png"}}
    answers = found["responses"]["200"]
    assert set(answers["content"]) == {"application/json", "image/png", "text/event-stream"}
    assert {"X-Request-Id", "X-Easymlnb-Version", "Server-Timing"} <= set(answers["headers"])
    assert {"400", "401", "403", "404", "406", "413", "415", "422", "500", "503", "504"} <= set(
        found["responses"]
    )


def test_a_view_answers_parts():
    found = whole(SEGMENT)["paths"]["/services/segment/view"]["post"]
    assert set(found["responses"]["200"]["content"]) == {VIEW, "text/event-stream"}


def test_a_stream_answers_a_list_of_its_items():
    found = whole(COUNT)["paths"]["/services/count/call"]["post"]
    content = found["responses"]["200"]["content"]
    assert "application/jsonl" in content
    schema = content["application/json"]["schema"]
    assert schema == {"type": "array", "items": {"$ref": "#/components/schemas/count.Output"}}


def test_examples_are_carried():
    found = whole(ROLL)["paths"]["/services/roll/call"]["post"]
    body = found["requestBody"]
    assert body["content"]["application/json"]["examples"]["example1"]["value"] == ROLL.examples[0]
    assert body["required"]


def test_every_error_code_is_described():
    said = "".join(r["description"] for r in whole()["components"]["responses"].values())
    for code in set(BY_CODE) - NEVER_SENT:
        assert f"`{code}`" in said


def test_changing_routes_need_more_than_a_cookie():
    for path, item in whole(ROLL)["paths"].items():
        for method, operation in item.items():
            if method in ("post", "delete"):
                assert {"cookie": []} not in operation["security"], path


def test_operation_ids_are_unique():
    items = whole(ROLL, SEGMENT, COUNT)["paths"].values()
    ids = [op["operationId"] for item in items for m, op in item.items() if m != "parameters"]
    assert len(ids) == len(set(ids)) >= len(OPERATIONS)


def test_schemas_are_those_of_the_structs_that_handlers_return():
    schemas = whole()["components"]["schemas"]
    listed = schemas["ServiceList"]["properties"]["services"]["items"]
    assert listed == {"$ref": "#/components/schemas/ServiceSummary"}
    summary = schemas["ServiceSummary"]
    assert "shared" in summary["properties"] and "shared" not in summary["required"]
    assert {"input", "stats", "full_name"} <= set(schemas["Service"]["properties"])
    assert set(service_document(ROLL, url="", version="")["components"]["schemas"]) >= {
        "ErrorResponse",
        "View",
        "roll.Input",
    }


@pytest.mark.parametrize("kind", BY_CODE.values())
def test_errors_have_the_shape_of_their_struct(kind):
    error = EasyMLNBError("A sentence.", details=[{"field": "a"}])
    error.code = kind.code
    assert msgspec.to_builtins(msgspec.convert(error.to_dict("id"), ErrorResponse)) == (
        error.to_dict("id")
    )


def test_a_service_is_returned_without_its_page_and_picture():
    spec = msgspec.structs.replace(
        SEGMENT, app={"column": []}, metadata=Metadata(thumbnail="data:image/png;base64,", doi="1")
    )
    names = ServiceNames(name="segment", full_name="a/segment", owner="a", public=False)
    state = ServiceState(state="ready", version=3, live=False)
    found = msgspec.to_builtins(describe(spec, names, state, UNSET))
    assert found["metadata"] == {"doi": "1"} and "app" not in found
    assert (found["name"], found["full_name"]) == ("segment", "a/segment")
    assert (found["public"], found["version"]) == (False, 3)
    assert not {"stats", "bundle", "error", "reason", "retry_in", "shared", "batch"} & set(found)
    assert found["input"] == SEGMENT.input
