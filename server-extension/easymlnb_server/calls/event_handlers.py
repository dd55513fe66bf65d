"""Calls that arrive as CloudEvents over HTTP, such as those of Knative Eventing."""

import asyncio
import hashlib
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from easymlnb_server.calls import cloudevents
from easymlnb_server.calls.cloudevents import STRUCTURED, CloudEvent
from easymlnb_server.calls.handlers import CallHandler
from easymlnb_server.calls.responses import SingleResponse
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import REQUEST_ID, custom_access_check
from easymlnb_server.uploads.spool import SpooledFile

MARK = "Ce-Specversion"
PREFIX = "ce-"
IDEMPOTENCY_KEY = "Idempotency-Key"

# All printable characters but blanks, quotation marks and the percent sign.
_PLAIN = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


class EventCallHandler(CallHandler):
    """``POST services/{name}/call``, also for events, whose answers are events.

    An event runs once for as long as its result is cached: its source and id are the idempotency
    key.
    """

    def initialize(self, view: bool = False, live: bool = False) -> None:
        super().initialize(view, live)
        self._event: CloudEvent | None = None

    @custom_access_check
    async def post(self, name: str, version: str = "") -> None:
        headers = self.request.headers
        if MARK in headers or cloudevents.is_structured(headers.get("Content-Type", "")):
            self._event = event = await self._read_event()
            self._use(event)
        await super().post(name, version)

    def read_spooled_body(self) -> Body:
        event = self._event
        structured = event is not None and event.structured
        return event.body if event is not None and structured else super().read_spooled_body()

    async def _read_event(self) -> CloudEvent:
        """Return the event of the request; raises ``BadRequest``."""
        headers = self.request.headers
        if cloudevents.is_structured(headers.get("Content-Type", "")):
            body = super().read_spooled_body()
            if not isinstance(body, bytes):
                file = body.file
                body = body.data if file is None else await asyncio.to_thread(file.read)
            return cloudevents.read_structured(body)
        attributes = {
            name[len(PREFIX) :].lower(): unquote(value)
            for name, value in headers.get_all()
            if name.lower().startswith(PREFIX)
        }
        # The official SDKs send no type with JSON, which is what the specification implies.
        kind = headers.get("Content-Type") or cloudevents.JSON
        return cloudevents.read_binary(attributes, b"", kind)

    def _use(self, event: CloudEvent) -> None:
        """Let the attributes of an event be the options of its call."""
        headers, id = self.request.headers, event.attributes["id"]
        headers["Content-Type"] = event.content_type
        if "X-Request-Id" not in headers and REQUEST_ID.match(id):
            self.request_id = id
            self.set_header("X-Request-Id", id)
        if IDEMPOTENCY_KEY not in headers and not (self._target and self._target.spec.stream):
            headers[IDEMPOTENCY_KEY] = hashlib.sha256(event.key.encode()).hexdigest()

    async def _write(self, result: CallResult) -> None:
        event = self._event
        if event is not None and result.error is None:
            attributes = cloudevents.answer(self.path_args[0], event.attributes)
            is_single = isinstance(self._writer, SingleResponse) and result.body
            if event.structured and is_single and result.result is not None:
                result = await _enveloped(result, attributes)
            else:
                self._set_attributes(attributes)
        await super()._write(result)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if self._event is not None:  # Tornado has removed the headers
            error = self.public_error(kwargs.get("exc_info", (None, None))[1])
            attributes = cloudevents.answer(self.path_args[0], self._event.attributes, error)
            self._set_attributes(attributes)
        super().write_error(status_code, **kwargs)

    def _set_attributes(self, attributes: dict[str, str]) -> None:
        for name, value in attributes.items():
            self.set_header(f"{PREFIX}{name}", quote(value, safe=_PLAIN))


async def _enveloped(result: CallResult, attributes: dict[str, str]) -> CallResult:
    """Return a result whose body is an event with it."""
    assert result.result is not None
    body = result.body
    if isinstance(body, SpooledFile):
        body = await asyncio.to_thread(body.read)
    document = cloudevents.write_structured(attributes, body, result.result.content_type)
    message = msgspec.structs.replace(result.result, content_type=STRUCTURED, filename="")
    return msgspec.structs.replace(result, result=message, body=document)
