"""Call the tools of one request: services, jobs and uploads."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
from msgspec import Meta

from easymlnb.contract.errors import (
    BadRequest,
    EasyMLNBError,
    Forbidden,
    JobEnded,
    JobNotFound,
    ResultNotEncodable,
    TooLarge,
)
from easymlnb.contract.spec import WHOLE_VIEW
from easymlnb_server.calls.models import CallRequest, Entry
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.identity.grants import Scope
from easymlnb_server.identity.quotas.quotas import Quotas
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.jobs.models import Job, State
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.protocols.mcp import tasks
from easymlnb_server.protocols.mcp.content import (
    MAX_RESULT,
    Writer,
    failure,
    text,
    too_long,
    uploads_in,
)
from easymlnb_server.protocols.mcp.errors import (
    from_error,
    from_stored,
    is_for_models,
    unknown_tool,
)
from easymlnb_server.protocols.mcp.events import Items
from easymlnb_server.protocols.mcp.manager import McpServer, Peer
from easymlnb_server.protocols.mcp.models import Choice, Id, Message, Revision
from easymlnb_server.protocols.mcp.results import StoredResult
from easymlnb_server.protocols.mcp.tools import (
    BEGIN_UPLOAD,
    JOB_CANCEL,
    JOB_STATUS,
    MAX_WAIT,
    Tool,
    tool_name,
    upload_commands,
)
from easymlnb_server.uploads.spool import SpooledFile
from easymlnb_server.uploads.uploads import CHUNK, Sender, Uploads

SMALL = 64 * 1024
"""Bytes of a result up to which it is written without a thread."""

Json = dict[str, Any]
T = TypeVar("T")


class JobArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of ``job_status`` and ``job_cancel``."""

    job_id: str
    wait: Annotated[float, Meta(ge=0, le=MAX_WAIT)] = 20.0


class UploadArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of ``begin_upload``."""

    tool: str
    name: Annotated[str, Meta(min_length=1, max_length=999)]
    size: Annotated[int, Meta(ge=0, lt=2**53)]
    parameter: str = ""


class Exchange(Protocol):
    """The HTTP request that a message came with."""

    request_id: str
    on_cancel: Callable[[], None] | None
    """Called when the client cancels the request."""

    @property
    def jobs_owner(self) -> str:
        """The owner of the jobs of this request."""

    @property
    def address(self) -> str:
        """The absolute URL of all routes."""

    def call_request(self, service: str, body: Body, **fields: Any) -> CallRequest: ...

    def submission(self, service: str, body: Body, *, view: bool, accept: str) -> Submission: ...

    def sender(self) -> Sender: ...

    async def run(self, request: CallRequest, token: Id | None) -> tuple[CallResult, Items]:
        """Run a call; with a ``token``, report its progress if the client accepts events."""


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """Calls tools for one peer in one revision."""

    server: McpServer
    jobs: Jobs
    uploads: Uploads
    quotas: Quotas
    exchange: Exchange
    peer: Peer
    choice: Choice
    revision: Revision

    async def call(self, message: Message) -> Json:
        """Return the result of ``tools/call``; raises ``RpcError`` or ``EasyMLNBError``."""
        try:
            return await self._call(message)
        except EasyMLNBError as error:
            if not is_for_models(error):
                raise
            return self._failure(error)

    async def _call(self, message: Message) -> Json:
        params, name = message.params, message.params.name
        arguments = bytes(params.arguments)
        arguments = b"{}" if arguments in (b"", b"null") else arguments
        tool = self.server.find(name, self.peer, self.choice)
        if tool is not None:
            self._require(Scope.CALL)
            return await self._call_service(tool, arguments, message)
        tool = self.server.find_start(name, self.peer, self.choice)
        if tool is not None:
            job = await self._submit(tool, arguments)
            return self._status(job)
        if name == JOB_STATUS["name"] and self.peer.may_run_jobs:
            return await self._job_status(_decoded(arguments, JobArguments))
        if name == JOB_CANCEL["name"] and self.peer.may_run_jobs:
            return await self._job_cancel(_decoded(arguments, JobArguments))
        if name == BEGIN_UPLOAD["name"] and self.peer.may_upload:
            return self._begin_upload(_decoded(arguments, UploadArguments))
        raise unknown_tool(name)

    def _require(self, scope: Scope) -> None:
        if not self.peer.may(scope):
            raise Forbidden(f"This API key lacks the scope {str(scope)!r}.")

    def _failure(self, error: EasyMLNBError) -> Json:
        error.request_id = error.request_id or self.exchange.request_id
        return failure(error)

    # services

    async def _call_service(self, tool: Tool, arguments: bytes, message: Message) -> Json:
        if tool.spec.on_timeout and self.server.runs_as_job(tool, self.peer):
            return await self._call_as_job(tool, arguments)
        request = self.exchange.call_request(
            tool.spec.name,
            self._body(tool, arguments),
            entry=Entry.MCP,
            view=tool.view,
            accept=WHOLE_VIEW if tool.view else "",
        )
        result, items = await self.exchange.run(request, message.params.meta.progress_token)
        if result.error is not None:
            raise result.error
        body = items.as_list() if tool.spec.stream else result.body
        return await self._written(tool.spec.name, tool, body, view=tool.view)

    def _body(self, tool: Tool, arguments: bytes) -> Body:
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

    async def _written(
        self, service: str, tool: Tool | None, body: bytes | SpooledFile, *, view: bool
    ) -> Json:
        def store(data: bytes, media_type: str, name: str) -> StoredResult:
            return self.server.results.add(
                self.peer.owner, service, data, media_type, name, visitor=self.peer.caller is None
            )

        writer = Writer(
            self.revision,
            store,
            own_view=tool is not None and tool.spec.view,
            wrap=tool.wrap if tool is not None else None,
        )
        if isinstance(body, bytes) and len(body) <= SMALL:
            return writer.result(body, view=view)
        return await asyncio.to_thread(_write_large, writer, body, view)

    # jobs

    async def _submit(self, tool: Tool, arguments: bytes) -> Job:
        accept = WHOLE_VIEW if tool.view else ""
        body = self._body(tool, arguments)
        submission = self.exchange.submission(tool.spec.name, body, view=tool.view, accept=accept)
        return await self.jobs.submit(submission)

    async def _call_as_job(self, tool: Tool, arguments: bytes) -> Json:
        """Run a call that its service makes a job: as a task, or for as long as clients wait."""
        job = await self._submit(tool, arguments)
        if self.revision.tasks:
            return {"resultType": "task", **tasks.task(job)}
        cancels: list[asyncio.Task[Job]] = []

        def cancel() -> None:
            cancels.append(asyncio.create_task(self.jobs.cancel(job.id, job.owner)))

        self.exchange.on_cancel = cancel
        try:
            ended = await self.jobs.wait(job.id, job.owner, min(tool.spec.timeout, MAX_WAIT))
        finally:
            self.exchange.on_cancel = None
            await asyncio.gather(*cancels, return_exceptions=True)
        return await self.job_result(ended) if ended.state.ended else self._status(ended)

    def _status(self, job: Job) -> Json:
        found = tasks.status(job)
        if not job.state.ended:
            found["message"] = found.get("message") or (
                "The job runs. Call job_status with this job_id for its result."
            )
        return self._structured(found)

    def _structured(self, value: Json, content: tuple[Json, ...] = ()) -> Json:
        shown = {key: one for key, one in value.items() if key != "result"}
        made: Json = {"content": [text(msgspec.json.encode(shown).decode()), *content]}
        return made | ({"structuredContent": value} if self.revision.structured else {})

    async def find_job(self, id: str) -> Job:
        """Return a job of the peer; raises ``JobNotFound``."""
        job = await self.jobs.get(id, self.exchange.jobs_owner)
        key = self.peer.caller.key if self.peer.caller is not None else None
        mine = key is None or key.matches(job.service)
        if not mine or self.choice.service not in ("", job.service):
            raise JobNotFound
        return job

    async def _job_status(self, asked: JobArguments) -> Json:
        job = await self._own_job(asked.job_id)
        job = await self.jobs.wait(job.id, job.owner, asked.wait)
        status = tasks.status(job)
        if job.state is not State.SUCCEEDED:
            return self._structured(status) | ({"isError": True} if job.error else {})
        result = await self.job_result(job)
        if "structuredContent" in result:
            status["result"] = result["structuredContent"]
        return self._structured(status, tuple(result["content"]))

    async def _job_cancel(self, asked: JobArguments) -> Json:
        job = await self._own_job(asked.job_id)
        return self._structured(tasks.status(await self.jobs.cancel(job.id, job.owner)))

    async def _own_job(self, id: str) -> Job:
        try:
            return await self.find_job(id)
        except JobNotFound as error:
            raise BadRequest(error.message) from error

    async def job_result(self, job: Job) -> Json:
        """Return what the tool would have returned; raises the error of the protocol."""
        if job.result is None:
            error = from_stored(job.error, job.options.request_id or job.id)
            if is_for_models(error):
                return self._failure(error)
            raise error
        tool = self.server.find(tool_name(job.service), self.peer, Choice(service=job.service))
        files = self.jobs.store.files
        if await asyncio.to_thread(files.size, job.result) > MAX_RESULT:
            raise ResultNotEncodable(too_long())
        body = await asyncio.to_thread(files.get, job.result)
        return await self._written(job.service, tool, body, view=job.options.view)

    async def task(self, id: str) -> Json:
        """Return the result of ``tasks/get``; raises ``JobNotFound``."""
        job = await self.find_job(id)
        found = tasks.task(job)
        if job.state not in (State.SUCCEEDED, State.FAILED):
            return found
        try:
            return found | {"result": {"resultType": "complete", **await self.job_result(job)}}
        except EasyMLNBError as error:
            failed = from_error(error, self.exchange.request_id).to_dict(None)["error"]
            return found | {"status": "failed", "error": failed}

    async def cancel_task(self, id: str) -> None:
        """Cancel a task; one that has ended stays as it is. Raises ``JobNotFound``."""
        job = await self.find_job(id)
        try:
            await self.jobs.cancel(job.id, job.owner)
        except JobEnded:
            return

    # uploads

    def _begin_upload(self, asked: UploadArguments) -> Json:
        tool = self.server.find(asked.tool, self.peer, self.choice)
        if tool is None:
            raise BadRequest(f"There is no tool {asked.tool[:140]!r}. tools/list lists all tools.")
        upload = self.uploads.begin(
            self.exchange.sender(), tool.spec, asked.parameter, asked.name, "", asked.size
        )
        url = f"{self.exchange.address}uploads/{upload.id}"
        commands = upload_commands(url, asked.name, CHUNK)
        argument = {"upload": upload.id, "name": asked.name}
        found: Json = {"argument": argument, "url": url, "commands": commands}
        words = (
            f"Send the file with these commands, with a token or an API key in EASYMLNB_TOKEN:\n\n"
            f"{commands}\nThen call {tool.name} with {msgspec.json.encode(argument).decode()} as "
            "the parameter."
        )
        made: Json = {"content": [text(words)]}
        return made | ({"structuredContent": found} if self.revision.structured else {})


def _decoded(arguments: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(arguments, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The arguments do not match the tool's inputSchema ({error}).") from error


def _write_large(writer: Writer, body: bytes | SpooledFile, view: bool) -> Json:
    if isinstance(body, bytes):
        return writer.result(body, view=view)
    try:
        if body.size > MAX_RESULT:
            raise ResultNotEncodable(too_long())
        return writer.result(body.read(), view=view)
    finally:
        body.close()
