"""Responses of streams as server-sent events, as MLServer and Triton send them."""

import json
from collections.abc import Callable

import msgspec

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.tensors import LENGTH_SIZE, WantedOutputs
from easymlnb.contract.worker_protocol import Item, Progress
from easymlnb_server.calls.responses import EVENTS, JsonLinesResponse, ResponseOutput
from easymlnb_server.protocols.oip import errors
from easymlnb_server.services.models import Target

Written = Callable[[bytes, Target], bytes]
"""Returns the JSON of the response with an item, or with the result of a call."""


class InferenceEvents(JsonLinesResponse):
    """Each response as an event with no other field than ``data``.

    A failure before the first response is a plain error; a later one is the last event.
    """

    media_type = EVENTS

    def __init__(self, out: ResponseOutput, written: Callable[[bytes], bytes]) -> None:
        super().__init__(out)
        self._written = written
        # Proxies that collect an answer would hold responses back.
        out.set_header("X-Accel-Buffering", "no")

    def event(self, message: Progress | Item, body: bytes) -> None:
        """Write the response with an item; it is sent with the next ``flush``."""
        if isinstance(message, Item):
            super().event(message, self._written(body))

    def line(self, body: bytes) -> bytes:
        return b"data: " + body + b"\n\n"

    def end(self) -> None:
        """End the stream, which may have had no item."""
        self._begin()

    def put(self, body: bytes) -> None:
        """Write the only response of a service that is no stream."""
        self._begin()
        self._out.write(self.line(body))

    def error(self, error: EasyMLNBError) -> None:
        if not self._begun:
            raise error
        self._out.write(self.line(json.dumps(errors.document(error)).encode()))


def as_json(accept: str) -> str:
    """Return the media type that asks for the same outputs, with their data in the JSON."""
    wanted = WantedOutputs.parse(accept)
    return WantedOutputs(dict.fromkeys(wanted.outputs, False)).accept()


def item_response(body: bytes, target: Target, id: str) -> bytes:
    """Return the response with an item of a stream, which follows the length of its head."""
    return whole_response(body[LENGTH_SIZE:], target, id)


def whole_response(head: bytes, target: Target, id: str) -> bytes:
    """Return the response whose outputs are all in a kernel's JSON ``head``."""
    about = {"model_name": target.name, "model_version": target.version}
    return msgspec.json.encode(about | ({"id": id} if id else {}))[:-1] + b"," + head[1:]
