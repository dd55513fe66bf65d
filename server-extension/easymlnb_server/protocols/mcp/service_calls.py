"""Call services as tools: the calls that need neither jobs nor uploads of this protocol."""

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from easymlnb.contract.errors import EasyMLNBError, ResultNotEncodable, TooLarge
from easymlnb.contract.spec import WHOLE_VIEW
from easymlnb_server.calls.models import CallRequest, Entry
from easymlnb_server.calls.responses import StreamItems
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.identity.quotas.quotas import Quotas
from easymlnb_server.protocols.mcp.content import (
    MAX_RESULT,
    ContentWriter,
    failure,
    too_long,
    uploads_in,
)
from easymlnb_server.protocols.mcp.errors import is_for_models
from easymlnb_server.protocols.mcp.manager import McpServer, Peer
from easymlnb_server.protocols.mcp.models import Id, Revision, RpcMessage
from easymlnb_server.protocols.mcp.results import StoredResult
from easymlnb_server.protocols.mcp.tools import Tool
from easymlnb_server.uploads.spool import SpooledFile
from easymlnb_server.uploads.uploads import Uploads

SMALL = 64 * 1024
"""Bytes of a result up to which it is written without a thread."""

Json = dict[str, Any]


class CallExchange(Protocol):
    """The request that a call of a service came with."""

    request_id: str

    def call_request(self, service: str, body: Body, **fields: Any) -> CallRequest: ...

    async def run(self, request: CallRequest, token: Id | None) -> tuple[CallResult, StreamItems]:
        """Run a call; with a ``token``, report its progress if the client accepts events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServiceCalls:
    """Calls services for one peer in one revision."""

    server: McpServer
    uploads: Uploads
    quotas: Quotas
    exchange: CallExchange
    peer: Peer
    revision: Revision

    async def answer(self, tool: Tool, message: RpcMessage) -> Json:
        """Return the result of a tool, also that of a failure which a model may mend."""
        try:
            return await self.call_service(tool, message)
        except EasyMLNBError as error:
            if not is_for_models(error):
                raise
            return self.failed(error)

    async def call_service(self, tool: Tool, message: RpcMessage) -> Json:
        """Return the result of a tool that is a service; raises ``EasyMLNBError``."""
        arguments = arguments_of(message)
        request = self.exchange.call_request(
            tool.spec.name,
            self.body(tool, arguments),
            entry=Entry.MCP,
            view=tool.view,
            accept=WHOLE_VIEW if tool.view else "",
        )
        result, items = await self.exchange.run(request, message.params.meta.progress_token)
        if result.error is not None:
            raise result.error
        body = items.as_list() if tool.spec.stream else result.body
        return await self.written(tool.spec.name, tool, body, view=tool.view)

    def body(self, tool: Tool, arguments: bytes) -> Body:
        """Return the body of a call, with the uploads that it names; raises ``TooLarge``, ..."""
        name, spec = tool.spec.name, tool.spec
        limit = self.quotas.max_body(name, self.peer.caller, spec.max_body)
        if len(arguments) > limit:
            raise TooLarge(
                f"The arguments of {len(arguments):,} bytes are over the limit of {limit:,} bytes. "
                "Upload the file before: see the tool begin_upload."
            )
        ids = uploads_in(arguments)
        if not ids:
            return arguments
        return FileBody(data=arguments, uploads=self.uploads.files(ids, name))

    async def written(
        self, service: str, tool: Tool | None, body: bytes | SpooledFile, *, view: bool
    ) -> Json:
        """Return the body of a call as the result of a tool."""

        def store(data: bytes, media_type: str, name: str) -> StoredResult:
            return self.server.results.add(
                self.peer.owner, service, data, media_type, name, visitor=self.peer.caller is None
            )

        writer = ContentWriter(
            self.revision,
            store,
            own_view=tool is not None and tool.spec.view,
            wrap=tool.wrap if tool is not None else None,
        )
        if isinstance(body, bytes) and len(body) <= SMALL:
            return writer.result(body, view=view)
        return await asyncio.to_thread(_write_large, writer, body, view)

    def failed(self, error: EasyMLNBError) -> Json:
        """Return an error as the result of a tool."""
        error.request_id = error.request_id or self.exchange.request_id
        return failure(error)


def arguments_of(message: RpcMessage) -> bytes:
    """Return the arguments of a tool as JSON."""
    arguments = bytes(message.params.arguments)
    return b"{}" if arguments in (b"", b"null") else arguments


def _write_large(writer: ContentWriter, body: bytes | SpooledFile, view: bool) -> Json:
    if isinstance(body, bytes):
        return writer.result(body, view=view)
    try:
        if body.size > MAX_RESULT:
            raise ResultNotEncodable(too_long())
        return writer.result(body.read(), view=view)
    finally:
        body.close()
