"""CloudEvents 1.0: calls that arrive as events, and results that leave as events.

Pure functions. In binary mode, attributes are headers and the body is that of the call; in
structured mode, one JSON document has both.
"""

import base64
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from easymlnb.contract.errors import BadRequest, EasyMLNBError

VERSION = "1.0"
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch"
JSON = "application/json"

RESULT, ERROR = "org.easymlnb.result", "org.easymlnb.error"
"""The types of the events that answer."""

CAUSE = "causationid"
"""The extension attribute of an answer with the ``id`` of the event that it answers."""

LONGEST_VALUE = 4096
"""Characters of an attribute."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

REQUIRED = ("specversion", "id", "source", "type")


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """A call as an event: its attributes, and the body and media type of the call."""

    attributes: Mapping[str, str]
    body: bytes
    content_type: str
    structured: bool = False

    @property
    def key(self) -> str:
        """The idempotency key: an event is known by its source and its id."""
        return f"{self.attributes['source']} {self.attributes['id']}"


def is_structured(content_type: str) -> bool:
    """Return whether a body is an event; raises ``BadRequest`` for several in one body."""
    if content_type.lower().startswith(BATCHED):
        raise BadRequest("A batch of events is not supported. Send one event per request.")
    return content_type.partition(";")[0].strip().lower() == STRUCTURED


def read_binary(attributes: Mapping[str, str], body: bytes, content_type: str) -> CloudEvent:
    """Return the event whose attributes came in headers; raises ``BadRequest``."""
    return CloudEvent(_checked(attributes), body, content_type)


def read_structured(body: bytes) -> CloudEvent:
    """Return the event in a JSON document; raises ``BadRequest``."""
    try:
        document = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        data = document.pop("data", None)
        encoded = document.pop("data_base64", None)
        found = {name: msgspec.json.decode(value) for name, value in document.items()}
        content = base64.b64decode(msgspec.json.decode(encoded), validate=True) if encoded else b""
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise BadRequest(f"The body is no CloudEvent in JSON ({error}).") from error
    content_type = str(found.pop("datacontenttype", "") or JSON)
    attributes = {name: _text(value) for name, value in found.items() if value is not None}
    if data is not None:
        is_json = content_type.partition(";")[0].strip().lower() in (JSON, "")
        content = bytes(data) if is_json else _text(msgspec.json.decode(data)).encode()
    return CloudEvent(_checked(attributes), content, content_type, structured=True)


def _checked(attributes: Mapping[str, str]) -> Mapping[str, str]:
    missing = [name for name in REQUIRED if not attributes.get(name)]
    if missing:
        raise BadRequest(
            f"The CloudEvent lacks the attribute {missing[0]!r}. It needs specversion, id, source "
            "and type."
        )
    if attributes["specversion"] != VERSION:
        raise BadRequest(
            f"CloudEvents of version {attributes['specversion'][:20]!r} are not supported. Send "
            f"version {VERSION}."
        )
    for name, value in attributes.items():
        if len(value) > LONGEST_VALUE or _CONTROL.search(value):
            raise BadRequest(
                f"The attribute {name[:40]!r} of the CloudEvent is invalid. It may have at most "
                f"{LONGEST_VALUE:,} characters, and no control characters."
            )
    return attributes


def answer(
    service: str, cause: Mapping[str, str], error: EasyMLNBError | None = None
) -> dict[str, str]:
    """Return the attributes of the event that answers a call.

    The answer to the same event has the same id, so receivers can drop repetitions.
    """
    id = cause.get("id", "")
    found = {
        "specversion": VERSION,
        "id": f"{id}.answer" if id else uuid.uuid4().hex,
        "source": f"/services/{service}",
        "type": RESULT if error is None else ERROR,
    }
    if id:
        found[CAUSE] = id
    if error is not None:
        found["easymlnberror"] = error.code
    return found


def write_structured(attributes: Mapping[str, str], body: bytes, content_type: str) -> bytes:
    """Return an event as a JSON document."""
    document: dict[str, Any] = {**attributes, "datacontenttype": content_type or JSON}
    if content_type.partition(";")[0].strip().lower() == JSON and body:
        document["data"] = msgspec.Raw(body)
    elif body:
        document["data_base64"] = base64.b64encode(body).decode()
    return msgspec.json.encode(document)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def error_body(error: EasyMLNBError) -> bytes:
    """Return the body of the event that answers with an error."""
    return msgspec.json.encode(error.to_dict())
