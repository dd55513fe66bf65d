"""An inference request of the Open Inference Protocol on the fast path."""

import json
from typing import ClassVar

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.worker_protocol import Result
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.calls.models import CallRequest, Entry
from easymlnb_server.http.fastpath.call import RESULT_POLICY, FastCall
from easymlnb_server.http.fastpath.eligibility import JSON, RouteKind
from easymlnb_server.protocols.oip import errors, framing
from easymlnb_server.protocols.oip.framing import HEAD_LENGTH
from easymlnb_server.uploads.spool import SpooledFile


class FastInference(FastCall):
    """A call by tensors; what is special about it is in its body."""

    kind: ClassVar[RouteKind] = RouteKind(frozenset((HEAD_LENGTH.lower(),)))
    _id = ""

    def _request(self) -> CallRequest:
        body = self._body
        length = framing.head_length(self._head.headers.get(HEAD_LENGTH.lower()))
        inference = framing.inference(length, len(body), lambda size: body[:size])
        self._id = inference.id
        return self.call_request(
            self._head.service,
            body,
            inference.content_type,
            accept=inference.accept,
            timeout=inference.timeout,
            low_priority=inference.low_priority,
            entry=Entry.OIP,
        )

    def _write(self, result: Result, body: bytes | SpooledFile, call: Invocation) -> None:
        size = len(body) if isinstance(body, bytes) else body.size
        target = call.target
        head = framing.respond(result.content_type, size, target.name, target.version, self._id)
        more = f"Server-Timing: worker;dur={result.seconds * 1000:.3f}\r\n"
        for name, value in head.headers.items():
            more += f"{name}: {value}\r\n" if name != "Content-Type" else ""
        media_type = head.headers["Content-Type"]
        length = len(head.prefix) + size - 1
        start = self._response(200, media_type, RESULT_POLICY, more, length) + head.prefix
        if isinstance(body, bytes):
            self._send(start, body[1:])
        else:
            self._send(start, body, 1)

    def _error(self, error: EasyMLNBError) -> tuple[int, str, bytes]:
        return errors.status_of(error), JSON, json.dumps(errors.document(error)).encode()
