"""The documents about a model: versions, models and Swagger 2.0. Pure functions."""

from typing import Any

from easymlnb.contract.deepaas import PREDICT, TRAIN, DeepaasMethod, DeepaasModel
from easymlnb.contract.names import quoted

Json = dict[str, Any]

VERSION = "2.6.0"
"""The release of DEEPaaS whose API this is."""

MODELS_TAG = ["models"]
TRAINING: Json = {
    "type": "object",
    "properties": {
        "uuid": {"type": "string", "format": "uuid", "description": "Training identifier"},
        "date": {"type": "string", "format": "date-time", "description": "Training start time"},
        "status": {
            "type": "string",
            "enum": ["running", "error", "done", "cancelled"],
            "description": "Training status",
        },
        "args": {"type": "object"},
        "message": {"type": "string", "description": "Optional message explaining status"},
        "result": {"type": "object"},
    },
    "required": ["date", "status", "uuid"],
}
PREDICTION: Json = {
    "status": {"type": "string", "description": "Response status message"},
    "predictions": {"type": "string", "description": "String containing predictions"},
}
TEXTS = ("id", "name", "description", "license", "author", "version", "url")
DEFINITIONS: Json = {
    "Location": {
        "type": "object",
        "properties": {
            "rel": {"type": "string"},
            "href": {"type": "string", "format": "url"},
            "type": {"type": "string"},
        },
        "required": ["href", "rel"],
    },
    "ModelMeta": {
        "type": "object",
        "properties": {
            **{name: {"type": "string"} for name in TEXTS},
            "links": {"type": "array", "items": {"$ref": "#/definitions/Location"}},
        },
        "required": ["description", "id", "name"],
    },
    "Version": {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "version": {"type": "string"},
            "links": {"type": "array", "items": {"$ref": "#/definitions/Location"}},
        },
        "required": ["id", "version"],
    },
    "Training": TRAINING,
    "Failure": {
        "type": "object",
        "properties": {"message": {"type": "string", "description": "Failure message"}},
        "required": ["message"],
    },
}


def version(base: str) -> Json:
    """Return what is said about the version of the API; ``base`` is the path of its root."""
    link = {"rel": "self", "type": "application/json", "href": f"{base}/v2/"}
    return {"version": "stable", "id": "v2", "links": [link]}


def versions(base: str) -> Json:
    """Return the versions of the API."""
    return {
        "versions": [version(base)],
        "links": [
            {
                "rel": "describedby",
                "type": "application/json",
                "href": f"{base}/swagger.json",
            }
        ],
    }


def model(found: DeepaasModel, base: str) -> Json:
    """Return what is said about a model."""
    href = f"{base}/v2/models/{quoted(found.name)}"
    links = [{"rel": "self", "href": href}]
    return {"id": found.name, "name": found.name, "links": links, **found.metadata}


def models(found: DeepaasModel, base: str) -> Json:
    """Return the list of models, of which a service has one."""
    return {"models": [model(found, base)]}


def swagger(found: DeepaasModel, base: str) -> Json:
    """Return the API as a Swagger 2.0 document."""
    at = f"/v2/models/{quoted(found.name)}"
    prediction = {"type": "object", "properties": found.response or PREDICTION}
    paths: Json = {
        "/v2/": {"get": _get("Get V2 API version information", "Version", ["versions"])},
        "/v2/models/": {"get": _get("Return loaded models and its information", "ModelMeta")},
        f"{at}/": {"get": _get("Return model's metadata", "ModelMeta")},
    }
    if found.predict is not None:
        paths[f"{at}/{PREDICT}/"] = {"post": _predict(found.predict)}
    if found.train is not None:
        paths |= _training(f"{at}/{TRAIN}/", found.train)
    return {
        "swagger": "2.0",
        "info": {"title": "DEEP as a Service API endpoint", "version": VERSION},
        "basePath": base or "/",
        "paths": paths,
        "definitions": {**DEFINITIONS, "ModelPredictionResponse": prediction},
        "securityDefinitions": {
            "token": {"type": "apiKey", "name": "Authorization", "in": "header"}
        },
        "security": [{"token": []}],
    }


def _get(summary: str, answer: str, tags: list[str] = MODELS_TAG) -> Json:
    return {
        "tags": tags,
        "summary": summary,
        "produces": ["application/json"],
        "parameters": [],
        "responses": {"200": _ref(answer)},
    }


def _predict(method: DeepaasMethod) -> Json:
    return {
        "tags": MODELS_TAG,
        "summary": "Make a prediction given the input data",
        "consumes": _consumes(method),
        "produces": list(method.produces),
        "parameters": _parameters(method),
        "responses": {
            "200": _ref("ModelPredictionResponse"),
            "400": _ref("Failure"),
            "422": {"description": "Messages by argument", "schema": {"type": "object"}},
        },
    }


def _training(path: str, method: DeepaasMethod) -> Json:
    post = {
        "tags": MODELS_TAG,
        "summary": "Retrain model with available data",
        "consumes": _consumes(method),
        "produces": ["application/json"],
        "parameters": _parameters(method),
        "responses": {"200": _ref("Training")},
    }
    listed = _get("Get a list of trainings (running or completed)", "Training")
    schema = {"type": "array", "items": {"$ref": "#/definitions/Training"}}
    listed["responses"] = {"200": {"description": "", "schema": schema}}
    uuid = [{"name": "uuid", "in": "path", "required": True, "type": "string"}]
    one = _get("Get status of a training", "Training") | {"parameters": uuid}
    cancel = _get("Cancel a running training", "Training") | {"parameters": uuid}
    return {
        path: {"post": post, "get": listed},
        f"{path}{{uuid}}": {"get": one, "delete": cancel},
    }


def _consumes(method: DeepaasMethod) -> list[str]:
    has_files = any(one.location == "formData" for one in method.arguments)
    return ["multipart/form-data"] if has_files else ["application/json"]


def _parameters(method: DeepaasMethod) -> list[Json]:
    return [{"name": one.name, "in": one.location, **one.schema} for one in method.arguments]


def _ref(name: str) -> Json:
    return {"description": "", "schema": {"$ref": f"#/definitions/{name}"}}
