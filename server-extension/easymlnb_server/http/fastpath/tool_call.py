"""A call of a service as a tool of an assistant (MCP), on the fast path."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import ClassVar

import msgspec
from msgspec import UnsetType
from tornado.iostream import StreamClosedError

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, InternalError
from easymlnb_server.calls.invoker import settle
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.calls.responses import StreamItems
from easymlnb_server.context import ServerContext
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.fastpath.call import ERROR_POLICY, FastCall, ResponseWriter
from easymlnb_server.http.fastpath.credentials import KnownCaller
from easymlnb_server.http.fastpath.eligibility import JSON, RouteKind
from easymlnb_server.http.fastpath.request_head import RequestHead
from easymlnb_server.protocols.mcp import errors, rules
from easymlnb_server.protocols.mcp.errors import RpcError
from easymlnb_server.protocols.mcp.manager import Peer
from easymlnb_server.protocols.mcp.models import (
    Id,
    Revision,
    RpcMessage,
    ToolSelection,
    completed,
    response,
)
from easymlnb_server.protocols.mcp.service_calls import McpServiceCalls
from easymlnb_server.protocols.mcp.tools import Tool

HEADERS = (rules.VERSION_HEADER, rules.METHOD_HEADER, rules.NAME_HEADER, rules.SESSION_HEADER)
BY_NAME = {name.lower(): name for name in HEADERS}

log = logging.getLogger("easymlnb.requests")


class FastToolCall(FastCall):
    """A message that calls a tool without events; the handlers answer all other messages.

    It is the ``CallExchange`` of its call.
    """

    kind: ClassVar[RouteKind] = RouteKind(frozenset(BY_NAME), events=True)
    _message: RpcMessage
    _tool: Tool
    _revision: Revision
    _peer: Peer

    @classmethod
    def create(
        cls, state: ServerContext, known: KnownCaller, head: RequestHead, body: bytes,
        writer: ResponseWriter,
    ) -> "FastToolCall | None":  # fmt: skip
        found = cls(state, known, head, body, writer)
        try:
            return found if found._is_simple(_named(head.headers)) else None
        except (RpcError, EasyMLNBError):
            return None

    def _is_simple(self, headers: Mapping[str, str]) -> bool:
        """Read the message; return whether it calls a service that returns one result."""
        if self._head.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            return False
        message = rules.decoded(self._body)
        if isinstance(message, list) or message.jsonrpc != "2.0":
            return False
        params = message.params
        if message.method != "tools/call" or params.meta.progress_token is not None:
            return False
        if isinstance(message.id, UnsetType):
            return False
        self._message, self._revision = message, rules.revision(message, headers)
        session = "" if self._revision.current else headers.get(rules.SESSION_HEADER, "")
        self._peer = Peer(self._known.caller, self._known.owner, session)
        choice = ToolSelection(service=self._head.service)
        tool = self._state.mcp.find(params.name, self._peer, choice)
        if tool is None or tool.spec.stream or tool.spec.on_timeout:
            return False
        self._tool = tool
        return True

    def start(self) -> None:
        self._sending = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        assert not isinstance(self._message.id, UnsetType)
        running, id = self._state.mcp.running, self._message.id
        running.add(self._peer, id, self._cancel)
        try:
            status, body = await self._answer(id)
        finally:
            running.discard(self._peer, id)
        self._call = None
        with contextlib.suppress(StreamClosedError):
            self._send(self._response(status, JSON, ERROR_POLICY, "", len(body)), body)

    async def _answer(self, id: Id) -> tuple[int, bytes]:
        state = self._state
        calls = McpServiceCalls(
            server=state.mcp,
            uploads=state.uploads,
            quotas=state.quotas,
            exchange=self,
            peer=self._peer,
            revision=self._revision,
        )
        try:
            result = await calls.answer(self._tool, self._message)
            return 200, response(id, completed(result, self._revision))
        except EasyMLNBError as error:
            found = errors.from_error(error, self.request_id)
        except Exception:
            log.exception("failed", extra={"request_id": self.request_id})
            found = errors.from_error(InternalError(), self.request_id)
        return found.status, msgspec.json.encode(found.to_dict(id))

    def _cancel(self) -> None:
        if self._call is not None:
            self._call.stop(CallCancelled())

    async def run(self, request: CallRequest, token: Id | None) -> tuple[CallResult, StreamItems]:
        done: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        call = self._call = self._state.invoker.start(request, settle(done))
        result = await done
        self._version, self._models = call.target.version, result.models
        return result, StreamItems()


class FastToolCallOfAny(FastToolCall):
    """The same, where the message alone names the service."""

    kind: ClassVar[RouteKind] = RouteKind(frozenset(BY_NAME), service=False, events=True)


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of the protocol by their usual names."""
    return {BY_NAME[name]: value for name, value in headers.items() if name in BY_NAME}
