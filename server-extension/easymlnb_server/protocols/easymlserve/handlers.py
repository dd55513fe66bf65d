"""``POST services/{name}/process``, for clients of EasyMLServe."""

import asyncio
from typing import Any, ClassVar

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.spec import LENIENT_JSON
from easymlnb.contract.worker_protocol import Item, Progress
from easymlnb_server.calls.handlers import VERSION
from easymlnb_server.calls.responses import SingleResponse
from easymlnb_server.calls.stream_buffer import cut_if_stuck
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import custom_access_check
from easymlnb_server.http.spooled_body import send_file
from easymlnb_server.identity.grants import Scope
from easymlnb_server.openapi.document import JSON
from easymlnb_server.protocols.easymlserve import rules
from easymlnb_server.protocols.handlers import ProtocolHandler
from easymlnb_server.services.models import Target
from easymlnb_server.uploads.spool import SpooledFile


class ProcessHandler(ProtocolHandler):
    """One call; it is the ``EventSink`` of the call."""

    key_scopes: ClassVar = {"POST": (Scope.CALL,)}

    def initialize(self) -> None:
        super().initialize()
        self._writer = SingleResponse(self, stream=False)

    def on_anonymous(self) -> None:
        """Accept visitors of a public service."""
        self.accept_visitors(self.path_args[0])

    def _target(self) -> Target:
        name, invoker = self.path_args[0], self.state.invoker
        return invoker.find(name, self.caller, published_only=self.is_visitor)

    def body_limit(self) -> int:
        spec = self._target().spec
        return self.state.quotas.max_body(spec.name, self.caller, spec.max_body)

    @custom_access_check
    async def post(self, name: str) -> None:
        self._writer = SingleResponse(self, self._target().spec.stream)
        body = await self._with_query(self.read_spooled_body())
        content_type = self.request.headers.get("Content-Type", "")
        if body and not rules.is_json(content_type):
            raise rules.not_json(content_type)
        result = await self.invoke(self.call_request(name, body or b"{}", LENIENT_JSON), self)
        if result.error is not None:
            raise result.error
        await self._write(result)

    async def _with_query(self, body: Body) -> Body:
        """Return the body with the parameters in the query, if there are any."""
        given = rules.query_values(self.request.query_arguments, self._target().spec.input)
        if not given:
            return body
        if isinstance(body, FileBody):
            assert body.file is not None
            return await asyncio.to_thread(_merged, body.file, given)
        return rules.with_query(body, given)

    def on_accepted(self, target: Target) -> None:
        """Note which version answers."""
        self.set_header(VERSION, target.version)

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        """Collect the items of a stream, which are one list here."""
        try:
            self._writer.event(message, body)
        except EasyMLNBError as error:
            self.stop(error)
        else:
            self.acknowledge(len(body))

    async def _write(self, result: CallResult) -> None:
        assert result.result is not None
        if isinstance(result.body, SpooledFile):
            self._writer.begin(result.result, result.body.size)
            try:
                await send_file(result.body, self._send)
            finally:
                result.body.close()
        else:
            self._writer.result(result.result, result.body)
        self.set_header("Content-Type", JSON)
        stream = self.request.connection.stream  # type: ignore[union-attr]
        cut_if_stuck(stream, self.finish(), len(result.body))

    async def _send(self, chunk: bytes) -> None:
        self.write(chunk)
        sent = self.flush()
        cut_if_stuck(self.request.connection.stream, sent, len(chunk))  # type: ignore[union-attr]
        await sent

    def error_document(self, error: EasyMLNBError) -> dict[str, Any]:
        self.set_status(rules.status_of(error))
        return rules.document_of(error)


def _merged(file: SpooledFile, given: dict[str, Any]) -> bytes:
    """Return a large body with the values of the query; blocks."""
    return rules.with_query(file.read(), given)
