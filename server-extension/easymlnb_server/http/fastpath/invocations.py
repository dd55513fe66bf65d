"""A request of MLflow's scoring protocol on the fast path."""

import json

from msgspec import structs

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.scoring import SCORE
from easymlnb.contract.worker_protocol import Result
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.context import ServerContext
from easymlnb_server.http.fastpath.call import (
    ERROR_POLICY,
    FastCall,
    ResponseWriter,
    find_spec,
)
from easymlnb_server.http.fastpath.credentials import KnownCaller
from easymlnb_server.http.fastpath.eligibility import JSON, RouteKind
from easymlnb_server.http.fastpath.request_head import RequestHead
from easymlnb_server.protocols.mlflow import errors
from easymlnb_server.uploads.spool import SpooledFile


class FastInvocations(FastCall):
    """Predictions for the rows of a body, which the worker reads."""

    kind = RouteKind()
    _timeout: float

    @classmethod
    def create(
        cls, state: ServerContext, known: KnownCaller, head: RequestHead, body: bytes,
        writer: ResponseWriter,
    ) -> "FastInvocations | None":  # fmt: skip
        spec = find_spec(state, known, head, body)
        if spec is None or spec.training is not None:
            return None
        found = cls(state, known, head, body, writer)
        found._timeout = spec.timeout
        return found

    def _request(self) -> CallRequest:
        return structs.replace(
            super()._request(),
            content_type=self._head.headers.get("content-type", JSON),
            accept="",
            timeout=self._timeout,
            operation=SCORE,
            keep=False,  # a recorded body could not be sent to the service again
        )

    def _write(self, result: Result, body: bytes | SpooledFile, call: Invocation) -> None:
        self._send(self._response(200, JSON, ERROR_POLICY, "", len(body)), body)

    def _refuse(self, error: EasyMLNBError) -> None:
        super()._refuse(errors.in_protocol(error))

    def _error(self, error: EasyMLNBError) -> tuple[int, str, bytes]:
        return error.status, JSON, json.dumps(errors.document(error)).encode()
