"""A prediction as clients of DEEPaaS ask for it, on the fast path."""

from msgspec import structs

from easymlnb.contract.deepaas import MEDIA_TYPE, DeepaasRequest
from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.worker_protocol import Result
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.context import ServerContext
from easymlnb_server.http.fastpath.call import FastCall, ResponseWriter, find_spec
from easymlnb_server.http.fastpath.credentials import KnownCaller
from easymlnb_server.http.fastpath.eligibility import JSON, RouteKind
from easymlnb_server.http.fastpath.request_head import RequestHead
from easymlnb_server.identity.names import short_name
from easymlnb_server.protocols.deepaas import texts
from easymlnb_server.uploads.spool import SpooledFile


class FastPredict(FastCall):
    """A prediction whose arguments are all in its body."""

    kind = RouteKind()

    @classmethod
    def create(
        cls, state: ServerContext, known: KnownCaller, head: RequestHead, body: bytes,
        writer: ResponseWriter,
    ) -> "FastPredict | None":  # fmt: skip
        spec = find_spec(state, known, head, body)
        model = spec.deepaas if spec is not None else None
        if model is None or model.predict is None or model.name != head.path.split("/")[-3]:
            return None
        if model.predict.service != short_name(head.service):
            return None  # the path has the name of the service for training
        return cls(state, known, head, body, writer)

    def _request(self) -> CallRequest:
        headers = self._head.headers
        forwarded = DeepaasRequest(
            content_type=headers.get("content-type", ""), accept=headers.get("accept", "")
        )
        return structs.replace(
            super()._request(), content_type=forwarded.media_type(), accept=MEDIA_TYPE
        )

    def _write(self, result: Result, body: bytes | SpooledFile, call: Invocation) -> None:
        if result.content_type == JSON:
            result = structs.replace(result, content_type=texts.JSON)
        super()._write(result, body, call)

    def _error(self, error: EasyMLNBError) -> tuple[int, str, bytes]:
        status, media_type, text = texts.of_error(error)
        return status, media_type, text.encode()
