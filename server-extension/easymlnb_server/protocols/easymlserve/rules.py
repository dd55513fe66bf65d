"""Requests and errors in the form of FastAPI, without I/O."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from easymlnb.contract import jsonschema
from easymlnb.contract.errors import EasyMLNBError, InvalidInput

Json = dict[str, Any]


def is_json(content_type: str) -> bool:
    """Return whether FastAPI reads a body of this type as JSON; it does so without a type."""
    kind = content_type.partition(";")[0].strip().lower()
    main, _, sub = kind.partition("/")
    return not kind or (main == "application" and (sub == "json" or sub.endswith("+json")))


def not_json(content_type: str) -> InvalidInput:
    """Return the error for a body of another type."""
    return _invalid(
        f"Send the body as application/json, not as {content_type[:100]!r}.",
        "model_attributes_type",
    )


def query_values(query: Mapping[str, Sequence[bytes]], schema: jsonschema.Schema) -> Json:
    """Return the parameters of a service that are in the query, as FastAPI has plain ones.

    Parameters with several values are lists.
    """
    found: Json = {}
    for name in jsonschema.properties(schema):
        texts = [value.decode("utf-8", "replace") for value in query.get(name, ())]
        if texts:
            node = jsonschema.properties(schema)[name]
            found[name] = texts if node.get("type") == "array" else texts[-1]
    return found


def with_query(body: bytes, given: Json) -> bytes:
    """Return a JSON body with the values of the query; raises ``InvalidInput``."""
    if not body:
        return json.dumps(given).encode()
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return body  # the worker reports the error
    return json.dumps({**given, **values}).encode() if isinstance(values, dict) else body


def status_of(error: EasyMLNBError) -> int:
    """Return the status of an error: that of an ``HTTPException``, else its own."""
    return _chosen(error).get("status_code") or error.status


def document_of(error: EasyMLNBError) -> Json:
    """Return FastAPI's body for an error."""
    chosen = _chosen(error)
    if chosen:
        return {"detail": chosen["detail"]}
    if isinstance(error, InvalidInput) and isinstance(error.details, list):
        return {"detail": [_entry(one) for one in error.details]}
    return {"detail": error.message}


def _chosen(error: EasyMLNBError) -> Json:
    """Return the status and detail that a service chose for an error."""
    details = error.details
    if error.code != "caller_error" or not isinstance(details, dict):
        return {}
    status = details.get("status_code")
    valid = type(status) is int and 400 <= status < 600 and "detail" in details
    return details if valid else {}


def _entry(one: Any) -> Json:
    """Return an entry of ``detail``; workers send ``loc``, ``msg`` and ``type``."""
    entry: Json = one if isinstance(one, dict) else {}
    return {
        "loc": entry.get("loc", ["body", *filter(None, str(entry.get("field", "")).split("."))]),
        "msg": entry.get("msg", entry.get("message", "")),
        "type": entry.get("type", "value_error"),
    }


def _invalid(message: str, kind: str) -> InvalidInput:
    entry = {"field": "body", "message": message, "loc": ["body"], "msg": message, "type": kind}
    return InvalidInput([entry])
