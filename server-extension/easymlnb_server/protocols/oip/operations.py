"""The routes of the protocol in the OpenAPI document."""

from typing import Any

from easymlnb_server.openapi.document import BYTES, JSON, Operation, list_of, ok
from easymlnb_server.protocols.oip.models import (
    ModelMetadata,
    ModelNames,
    ModelReady,
    ServerMetadata,
)
from easymlnb_server.protocols.oip.statistics import AllStatistics

Json = dict[str, Any]

_ERROR: Json = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
_TENSOR: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "datatype": {"type": "string"},
        "shape": list_of({"type": "integer", "minimum": 0}),
        "parameters": {"type": ["object", "null"]},
        "data": {"type": ["array", "null"], "items": {}},
    },
    "required": ["name", "datatype", "shape"],
}
_WANTED: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "parameters": {"type": ["object", "null"]},
    },
    "required": ["name"],
}
_REQUEST: Json = {
    "type": "object",
    "description": "An inference request. Bytes of tensors may follow it in a binary body.",
    "properties": {
        "id": {"type": ["string", "null"]},
        "parameters": {"type": ["object", "null"]},
        "inputs": list_of(_TENSOR),
        "outputs": {"type": ["array", "null"], "items": _WANTED},
    },
    "required": ["inputs"],
}
_RESPONSE: Json = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": list_of(_TENSOR),
    },
    "required": ["model_name", "model_version", "outputs"],
}
_INDEX: Json = list_of(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "state": {"enum": ["READY", "LOADING", "UNAVAILABLE"]},
            "reason": {"type": "string"},
        },
        "required": ["name", "version", "state", "reason"],
    }
)
_CONFIG: Json = {"type": "object", "description": "The fields of Triton's ModelConfig."}
_GENERATE: Json = {
    "type": "object",
    "description": "Arguments of the service; `text_input` is its first text parameter.",
    "properties": {
        "id": {"type": "string"},
        "text_input": {"type": "string"},
        "parameters": {"type": ["object", "null"]},
    },
}
_GENERATED: Json = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "text_output": {"type": "string"},
    },
    "required": ["model_name", "model_version"],
}
_EVENTS: Json = {"type": "string", "description": "Events with a response each as their data."}
_ABOUT = "The Open Inference Protocol: see its guide. An error is one sentence, as `error`."
_BINARY = "application/octet-stream"
_EVENT_STREAM = "text/event-stream"
_PINNED = "/versions/{version}"


def _health(what: str) -> Json:
    flag = {"type": "object", "properties": {what: {"type": "boolean"}}, "required": [what]}
    return {JSON: flag}


def _operation(id: str, summary: str, answers: Any, *errors: int, **more: Any) -> Operation:
    return Operation(
        id, summary, answers, errors, tag="Protocols", description=_ABOUT, error=_ERROR, **more
    )


def _of_model(pinned: str) -> dict[str, Operation]:
    """Return the operations of a model, or of one of its versions."""
    path, end = f"/v2/models/{{name}}{pinned}", "Version" if pinned else ""
    return {
        f"GET {path}": _operation(
            f"getModelTensors{end}",
            "Describe the tensors of a service",
            ok("Its tensors.", ModelMetadata),
            503,
        ),
        f"GET {path}/ready": _operation(
            f"getModelReady{end}",
            "Check whether a service answers calls",
            ok("It does.", ModelReady),
            503,
        ),
        f"GET {path}/config": _operation(
            f"getModelConfig{end}",
            "Describe a service as Triton's configuration",
            ok("The configuration.", {JSON: _CONFIG}),
            503,
        ),
        f"GET {path}/stats": _operation(
            f"getModelStatistics{end}",
            "Count the calls of a service, for those who manage it",
            ok("The statistics, of each version.", AllStatistics),
            503,
        ),
        f"POST {path}/infer": _operation(
            f"infer{end}",
            "Call a service with tensors",
            ok("The outputs.", {JSON: _RESPONSE, _BINARY: BYTES}),
            *(415, 429, 503, 504, 507),
            body={JSON: _REQUEST, _BINARY: BYTES},
        ),
        f"POST {path}/infer_stream": _operation(
            f"inferStream{end}",
            "Call a streaming service with tensors",
            ok("A response for each item.", {_EVENT_STREAM: _EVENTS}),
            *(415, 429, 503, 504, 507),
            body={JSON: _REQUEST, _BINARY: BYTES},
        ),
        f"POST {path}/generate": _operation(
            f"generate{end}",
            "Call a service that makes a text of a text",
            ok("The text, or the members of another result.", {JSON: _GENERATED}),
            *(415, 429, 503, 504, 507),
            body={JSON: _GENERATE},
        ),
        f"POST {path}/generate_stream": _operation(
            f"generateStream{end}",
            "The same, with a response for each item of a stream",
            ok("A response for each item.", {_EVENT_STREAM: _EVENTS}),
            *(415, 429, 503, 504, 507),
            body={JSON: _GENERATE},
        ),
    }


OPERATIONS = {
    "GET /v2": _operation(
        "getInferenceServer", "Describe the server", ok("The server.", ServerMetadata)
    ),
    "GET /v2/health/live": _operation(
        "getInferenceLive",
        "Check whether the server runs",
        ok("It runs.", _health("live")),
        open=True,
    ),
    "GET /v2/health/ready": _operation(
        "getInferenceReady",
        "Check whether the server accepts calls",
        ok("It accepts calls.", _health("ready")),
        503,
        open=True,
    ),
    "GET /v2/models": _operation(
        "listModelNames", "List the services as models", ok("Their names.", ModelNames)
    ),
    "GET /v2/models/stats": _operation(
        "listModelStatistics",
        "Count the calls of all services that you manage",
        ok("The statistics, of each version.", AllStatistics),
        503,
    ),
    **_of_model(""),
    **_of_model(_PINNED),
    "POST /v2/repository/index": _operation(
        "getModelIndex",
        "List the states of all models",
        ok("The states.", {JSON: _INDEX}),
        503,
        body={JSON: {"type": "object", "properties": {"ready": {"type": "boolean"}}}},
    ),
    "POST /v2/repository/models/{name}/load": _operation(
        "loadModel",
        "Start a worker of a service, for its owner",
        {200: ("A worker is ready.", {})},
        *(422, 503),
    ),
    "POST /v2/repository/models/{name}/unload": _operation(
        "unloadModel",
        "Let the workers of a service end, for its owner",
        {200: ("They end after their calls; the next call starts one.", {})},
        503,
    ),
}
