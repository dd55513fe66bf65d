"""The route in the OpenAPI document."""

from typing import Any

from easymlnb_server.openapi.document import CALLING, JSON, Operation, ok
from easymlnb_server.openapi.headers import CALL

_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "detail": {
            "description": "A sentence, the invalid values, or what an HTTPException contains.",
        }
    },
    "required": ["detail"],
    "examples": [
        {"detail": [{"loc": ["body", "bins"], "msg": "Field required", "type": "missing"}]}
    ],
}
_HEADERS = tuple(
    header
    for header in CALL
    if header["name"] in ("X-Timeout", "X-Priority", "X-Request-Id", "traceparent")
)

OPERATIONS = {
    "POST /services/{name}/process": Operation(
        "process",
        "Call a service as a client of EasyMLServe",
        ok("The result.", {JSON: {}}),
        CALLING,
        tag="Protocols",
        body={JSON: {"type": "object"}},
        headers=_HEADERS,
        description=(
            'Values are converted as FastAPI does (`"4"` is a number), and unknown fields are '
            "ignored. Plain parameters may be in the query. Errors have FastAPI's form."
        ),
        error=_ERROR,
    ),
}
