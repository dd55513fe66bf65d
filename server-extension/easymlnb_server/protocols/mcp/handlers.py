"""The routes of the Model Context Protocol: ``mcp`` and ``services/{name}/mcp``."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import msgspec
from msgspec import UnsetType

from easymlnb.contract.errors import (
    CallCancelled,
    EasyMLNBError,
    Forbidden,
    InternalError,
    JobNotFound,
    NotLoggedIn,
    UnsupportedMediaType,
)
from easymlnb_server.calls import options
from easymlnb_server.calls.handlers import VERSION
from easymlnb_server.calls.invoker import Invocation
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.calls.queue_events import queue_position, wait_with_events
from easymlnb_server.calls.responses import EVENTS, StreamItems
from easymlnb_server.calls.stream_buffer import cut_if_stuck
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.http.base import custom_access_check
from easymlnb_server.identity.grants import Scope
from easymlnb_server.jobs.handlers import job_owner
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.openapi.document import JSON
from easymlnb_server.protocols.handlers import ProtocolHandler
from easymlnb_server.protocols.mcp import errors, rules
from easymlnb_server.protocols.mcp.errors import RpcError
from easymlnb_server.protocols.mcp.events import CallReport, McpEvents
from easymlnb_server.protocols.mcp.manager import McpServer, Peer
from easymlnb_server.protocols.mcp.models import (
    INSTRUCTIONS,
    SERVER,
    SUPPORTED,
    TASKS,
    TTL_MS,
    Id,
    Revision,
    RpcMessage,
    ToolSelection,
    completed,
    response,
)
from easymlnb_server.protocols.mcp.results import SCHEME
from easymlnb_server.protocols.mcp.tool_calls import ToolCalls
from easymlnb_server.uploads.handlers import owner_of, sender_of
from easymlnb_server.uploads.uploads import Uploader

MAX_MESSAGE = 64 * 2**20
"""Maximum bytes of a message; larger files are uploaded before."""

ENVELOPE = 64 * 1024
"""Bytes of a message besides the arguments of a tool."""

MAX_BATCH = 50
"""Messages in one request; the revisions before 2025-06-18 have such batches."""

log = logging.getLogger("easymlnb.requests")

Json = dict[str, Any]


class McpHandler(ProtocolHandler):
    """``POST mcp`` and ``POST services/{name}/mcp``: one message of the protocol, or a batch.

    It is the ``Exchange`` of the tools that are called.
    """

    actions: ClassVar[dict[str, str]] = {"POST": "execute"}
    key_scopes: ClassVar = {"POST": (Scope.CALL, Scope.JOBS, Scope.READ)}

    def initialize(self) -> None:
        super().initialize()
        self._report: CallReport | None = None
        self._is_batch = False
        self._is_current = False
        self.on_cancel: Callable[[], None] | None = None

    # who asks for what

    def on_anonymous(self) -> None:
        """Accept visitors of a public service."""
        self.accept_visitors(self.path_args[0] if self.path_args else "")

    def body_limit(self) -> int:
        if not self.path_args:
            return MAX_MESSAGE
        name, invoker = self.path_args[0], self.state.invoker
        spec = invoker.find(name, self.caller, published_only=self.is_visitor).spec
        limit = self.state.quotas.max_body(spec.name, self.caller, spec.max_body)
        return min(limit + ENVELOPE, MAX_MESSAGE)

    @property
    def _server(self) -> McpServer:
        return self.state.mcp

    @property
    def _choice(self) -> ToolSelection:
        if self.path_args:
            return ToolSelection(service=self.path_args[0])
        listed = self.get_query_argument("tools", "").split(",")
        return ToolSelection(only=frozenset(name for one in listed if (name := one.strip())))

    def _peer(self, revision: Revision) -> Peer:
        session = "" if revision.current else self.request.headers.get(rules.SESSION_HEADER, "")
        return Peer(self.caller, owner_of(self), session)

    # messages

    @custom_access_check
    async def post(self, name: str = "") -> None:
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != JSON:
            raise UnsupportedMediaType(kind, (JSON,))
        try:
            found = rules.decoded(await self._read())
            answer = await (self._batch(found) if isinstance(found, list) else self._answer(found))
        except RpcError as error:
            self._send(msgspec.json.encode(error.to_dict(error.id)), error.status)
            return
        if answer is None:
            self.set_status(202)
            self.clear_header("Content-Type")
            self.finish()
        else:
            self._send(answer)

    async def _read(self) -> bytes:
        body = self.read_spooled_body()
        if isinstance(body, FileBody):
            assert body.file is not None
            return await asyncio.to_thread(body.file.read)
        return body

    def _send(self, message: bytes, status: int = 0) -> None:
        events = self._report.events if self._report is not None else None
        if events is not None:
            events.answer(message)
        else:
            if status:
                self.set_status(status)
            self.write(message)
        stream = self.request.connection.stream  # type: ignore[union-attr]
        cut_if_stuck(stream, self.finish(), len(message))

    async def _batch(self, messages: list[RpcMessage]) -> bytes | None:
        if not 0 < len(messages) <= MAX_BATCH:
            text = f"A batch has from 1 to {MAX_BATCH} messages."
            raise RpcError(errors.INVALID_REQUEST, text, status=400)
        self._is_batch = True
        answers = [await self._answer(message) for message in messages]
        found = [answer for answer in answers if answer is not None]
        return b"[" + b",".join(found) + b"]" if found else None

    async def _answer(self, message: RpcMessage) -> bytes | None:
        """Return the answer to a message; ``None`` for a notification."""
        if message.is_answer:
            return None
        if message.jsonrpc != "2.0" or not message.method:
            text = 'A message needs "jsonrpc": "2.0" and a method.'
            raise RpcError(errors.INVALID_REQUEST, text, status=400)
        if isinstance(message.id, UnsetType):
            self._notify(message)
            return None
        try:
            result = await self._dispatch(message)
        except RpcError as error:
            return self._error(error, message.id)
        except EasyMLNBError as error:
            return self._error(errors.from_error(error, self.request_id), message.id)
        except Exception:
            log.exception("failed", extra={"request_id": self.request_id})
            return self._error(errors.from_error(InternalError(), self.request_id), message.id)
        return response(message.id, result)

    def _error(self, error: RpcError, id: Id) -> bytes:
        if not self._is_batch and error.status != 200 and not self._headers_written:
            self.set_status(error.status)
        return msgspec.json.encode(error.to_dict(id))

    def _notify(self, message: RpcMessage) -> None:
        """Take a notification; the only one that changes something cancels a request."""
        if message.method == "notifications/cancelled":
            peer = self._peer(rules.revision(message, self.request.headers))
            self._server.running.cancel(peer, message.params.request_id)

    async def _dispatch(self, message: RpcMessage) -> Json:
        revision = rules.revision(message, self.request.headers)
        method = self._methods.get(message.method)
        if method is None:
            raise errors.unknown_method(message.method, current=revision.current)
        return completed(await method(self, message, revision), revision)

    async def _handshake(self, message: RpcMessage, revision: Revision) -> Json:
        if revision.current:
            raise errors.unknown_method(message.method, current=True)
        self.set_header(rules.SESSION_HEADER, secrets.token_urlsafe(24))
        self.set_header("Access-Control-Expose-Headers", rules.SESSION_HEADER)
        return {
            "protocolVersion": revision.version,
            "capabilities": {"tools": {}, "resources": {}},
            "serverInfo": SERVER,
            "instructions": INSTRUCTIONS,
        }

    async def _discover(self, message: RpcMessage, revision: Revision) -> Json:
        return {
            "supportedVersions": list(SUPPORTED),
            "capabilities": {"tools": {}, "resources": {}, "extensions": {TASKS: {}}},
            "instructions": INSTRUCTIONS,
            **_cached(revision, TTL_MS),
        }

    async def _ping(self, message: RpcMessage, revision: Revision) -> Json:
        return {}

    # tools

    def _calls(self, revision: Revision) -> ToolCalls:
        state, peer = self.state, self._peer(revision)
        return ToolCalls(
            server=state.mcp,
            jobs=state.jobs,
            uploads=state.uploads,
            quotas=state.quotas,
            exchange=self,
            peer=peer,
            choice=self._choice,
            revision=revision,
        )

    async def _list_tools(self, message: RpcMessage, revision: Revision) -> Json:
        tools = self._server.definitions(self._peer(revision), self._choice, revision)
        return {"tools": tools, **_cached(revision, TTL_MS)}

    async def _call_tool(self, message: RpcMessage, revision: Revision) -> Json:
        peer, self._is_current = self._peer(revision), revision.current
        assert not isinstance(message.id, UnsetType)
        self._server.running.add(peer, message.id, self._cancel)
        try:
            return await self._calls(revision).call(message)
        finally:
            self._server.running.discard(peer, message.id)

    def _cancel(self) -> None:
        self.stop(CallCancelled())
        if self.on_cancel is not None:
            self.on_cancel()

    def on_connection_close(self) -> None:
        """Stop the call; in revisions with a handshake, a job continues."""
        super().on_connection_close()
        if self._is_current and self.on_cancel is not None:
            self.on_cancel()

    @property
    def jobs_owner(self) -> str:
        return job_owner(self)

    async def run(self, request: CallRequest, token: Id | None) -> tuple[CallResult, StreamItems]:
        wants_events = token is not None and EVENTS in self.request.headers.get("Accept", "")
        begin: Callable[[], McpEvents] | None = None
        if token is not None and wants_events and not self._is_batch:
            begin = partial(McpEvents, self, token)
            request = msgspec.structs.replace(request, progress=True)
        self._report = report = CallReport(begin, self.acknowledge, self.stop)
        return await self.invoke(request, report), report.items

    def name_version(self, version: str) -> None:
        """Name the version, unless the answer is that of several calls."""
        if not self._is_batch:
            super().name_version(version)

    async def wait(self, invocation: Invocation, done: "asyncio.Future[CallResult]") -> CallResult:
        report = self._report
        if report is None or report.events is None:
            return await done
        return await wait_with_events(
            done, report.events, lambda: report.is_ready, lambda: queue_position(invocation)
        )

    def submission(self, service: str, body: Body, *, view: bool, accept: str) -> Submission:
        headers = self.request.headers
        return Submission(
            service=service,
            caller=self.caller,
            owner=self.jobs_owner,
            body=body,
            content_type=JSON,
            accept=accept,
            key=options.idempotency_key(headers),
            request_id=self.request_id,
            view=view,
            version=headers.get(VERSION, "").strip(),
            low_priority=options.is_low_priority(headers),
        )

    def sender(self) -> Uploader:
        return sender_of(self)

    # tasks

    async def _get_task(self, message: RpcMessage, revision: Revision) -> Json:
        with _unknown_task():
            return await self._task_calls(message, revision).task(message.params.task)

    async def _cancel_task(self, message: RpcMessage, revision: Revision) -> Json:
        with _unknown_task():
            await self._task_calls(message, revision).cancel_task(message.params.task)
        return {}

    async def _update_task(self, message: RpcMessage, revision: Revision) -> Json:
        """Accept answers to questions; tasks ask none."""
        with _unknown_task():
            await self._task_calls(message, revision).find_job(message.params.task)
        return {}

    def _task_calls(self, message: RpcMessage, revision: Revision) -> ToolCalls:
        if not revision.current:
            raise errors.unknown_method(message.method, current=False)
        if not revision.tasks:
            needed: Json = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
            text = f"Announce the extension {TASKS} in the request's clientCapabilities."
            raise RpcError(errors.MISSING_CAPABILITY, text, needed, 400)
        if not self._peer(revision).may_run_jobs:
            raise Forbidden("These credentials do not allow jobs.")
        return self._calls(revision)

    # resources

    async def _list_resources(self, message: RpcMessage, revision: Revision) -> Json:
        # Visitors of one network share an owner; each knows the links of its own results.
        found = [] if self.is_visitor else self._server.results.of(self._peer(revision).owner)
        return {"resources": [one.described() for one in found], **_cached(revision, 0)}

    async def _list_templates(self, message: RpcMessage, revision: Revision) -> Json:
        template = {
            "uriTemplate": f"{SCHEME}{{id}}",
            "name": "Result",
            "description": "A file of a result of yours, for an hour.",
        }
        return {"resourceTemplates": [template], **_cached(revision, TTL_MS)}

    async def _read_resource(self, message: RpcMessage, revision: Revision) -> Json:
        uri = message.params.uri
        found = self._server.results.find(uri, self._peer(revision).owner)
        if found is None:
            code = errors.INVALID_PARAMS if revision.current else errors.RESOURCE_NOT_FOUND
            text = "There is no such resource; results are kept for an hour, for their caller only."
            raise RpcError(code, text, {"uri": uri[:500]})
        content = await asyncio.to_thread(found.content)
        return {"contents": [content], **_cached(revision, TTL_MS)}

    # errors of the request

    def error_document(self, error: EasyMLNBError) -> Json:
        if isinstance(error, NotLoggedIn):
            self.set_header("WWW-Authenticate", 'Bearer realm="easymlnb"')
        return errors.from_error(error, self.request_id).to_dict(None)

    _methods: ClassVar[
        dict[str, Callable[["McpHandler", RpcMessage, Revision], Awaitable[Json]]]
    ] = {
        "initialize": _handshake,
        "server/discover": _discover,
        "ping": _ping,
        "tools/list": _list_tools,
        "tools/call": _call_tool,
        "tasks/get": _get_task,
        "tasks/cancel": _cancel_task,
        "tasks/update": _update_task,
        "resources/list": _list_resources,
        "resources/templates/list": _list_templates,
        "resources/read": _read_resource,
    }


@contextmanager
def _unknown_task() -> Iterator[None]:
    """Report an unknown job as the protocol wants it."""
    try:
        yield
    except JobNotFound as error:
        raise RpcError(errors.INVALID_PARAMS, error.message) from error


def _cached(revision: Revision, milliseconds: int) -> Json:
    """Return for how long a client may keep a result."""
    return {"ttlMs": milliseconds, "cacheScope": "private"} if revision.current else {}
