"""The routes of DEEPaaS in the OpenAPI document."""

from typing import Any

from easymlnb_server.openapi.document import BYTES, JSON, TEXT, Operation, list_of, ok
from easymlnb_server.protocols.deepaas.documents import TRAINING

Json = dict[str, Any]

_AT = "/services/{name}/deepaas"
_MODEL = f"{_AT}/v2/models/{{model}}"
_TRAIN = f"{_MODEL}/train"
_OBJECT: Json = {"type": "object"}
_ABOUT = (
    "DEEPaaS V2, for services of a DEEPaaS module; see the guide. Paths end with a slash, which "
    "clients may leave out. Errors are plain text, such as `404: Not Found`."
)
_INVALID = {422: ("The messages of marshmallow, by argument.", {JSON: _OBJECT})}
_BODY: Json = {
    JSON: _OBJECT,
    "multipart/form-data": _OBJECT,
    "application/x-www-form-urlencoded": _OBJECT,
}
_CALLING = (402, 406, 409, 415, 429, 501, 503, 504)


def _operation(id: str, summary: str, answer: Json, *errors: int, **more: Any) -> Operation:
    answers = ok("The answer.", {JSON: answer}) | more.pop("answers", {})
    return Operation(
        f"deepaas{id}",
        summary,
        answers,
        (503, *errors),
        tag="Protocols",
        description=_ABOUT,
        error=TEXT,
        error_type="text/plain",
        **more,
    )


OPERATIONS = {
    f"GET {_AT}/": _operation("Versions", "Versions of DEEPaaS's API", _OBJECT),
    f"GET {_AT}/swagger.json": _operation("Swagger", "The API as a Swagger 2.0 document", _OBJECT),
    f"GET {_AT}/v2/": _operation("V2", "The version of DEEPaaS's API", _OBJECT),
    f"GET {_AT}/v2/models/": _operation("Models", "List the model with its metadata", _OBJECT),
    f"GET {_MODEL}/": _operation("Model", "Metadata of the model", _OBJECT),
    f"POST {_MODEL}/predict/": _operation(
        "Predict",
        "Make a prediction",
        {},
        *_CALLING,
        answers=ok("The prediction.", {JSON: {}, "*/*": BYTES}) | _INVALID,
        body=_BODY,
    ),
    f"GET {_TRAIN}/": _operation("Trainings", "List your trainings", list_of(TRAINING), 402, 501),
    f"POST {_TRAIN}/": _operation(
        "Train",
        "Start a training, which is a job",
        TRAINING,
        *_CALLING,
        answers=_INVALID,
        body=_BODY,
    ),
    f"GET {_TRAIN}/{{uuid}}": _operation("Training", "State of a training", TRAINING, 402, 501),
    f"DELETE {_TRAIN}/{{uuid}}": _operation(
        "Cancel", "Cancel a training, or delete one that ended", TRAINING, 402, 501
    ),
}
