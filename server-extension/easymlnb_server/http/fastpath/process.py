"""A call as clients of EasyMLServe make it, on the fast path."""

import json

from msgspec import structs

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.spec import LENIENT_JSON
from easymlnb.contract.worker_protocol import Result
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.context import ServerContext
from easymlnb_server.http.fastpath.call import FastCall, ResponseWriter
from easymlnb_server.http.fastpath.credentials import KnownCaller
from easymlnb_server.http.fastpath.eligibility import JSON, RouteKind
from easymlnb_server.http.fastpath.request_head import RequestHead
from easymlnb_server.protocols.easymlserve import rules
from easymlnb_server.uploads.spool import SpooledFile


class FastProcess(FastCall):
    """A call whose parameters are all in its body."""

    kind = RouteKind()

    @classmethod
    def create(
        cls, state: ServerContext, known: KnownCaller, head: RequestHead, body: bytes,
        writer: ResponseWriter,
    ) -> "FastProcess | None":  # fmt: skip
        if not rules.is_json(head.headers.get("content-type", "")):
            return None
        return cls(state, known, head, body or b"{}", writer)

    def _request(self) -> CallRequest:
        return structs.replace(super()._request(), content_type=LENIENT_JSON, accept="")

    def _write(self, result: Result, body: bytes | SpooledFile, call: Invocation) -> None:
        super()._write(structs.replace(result, content_type=JSON), body, call)

    def _error(self, error: EasyMLNBError) -> tuple[int, str, bytes]:
        return rules.status_of(error), JSON, json.dumps(rules.document_of(error)).encode()
