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
)
from easymlnb.contract.spec import WHOLE_VIEW
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.identity.grants import Scope
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.jobs.models import Job, JobState
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.protocols.mcp import tasks
from easymlnb_server.protocols.mcp.content import (
    MAX_RESULT,
    text,
    too_long,
)
from easymlnb_server.protocols.mcp.errors import (
    from_error,
    from_stored,
    is_for_models,
    unknown_tool,
)
from easymlnb_server.protocols.mcp.models import RpcMessage, ToolSelection
from easymlnb_server.protocols.mcp.service_calls import CallExchange, McpServiceCalls, arguments_of
from easymlnb_server.protocols.mcp.tools import (
    BEGIN_UPLOAD,
    JOB_CANCEL,
    JOB_STATUS,
    MAX_WAIT,
    Tool,
    tool_name,
    upload_commands,
)
from easymlnb_server.uploads.uploads import CHUNK, Uploader

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


class Exchange(CallExchange, Protocol):
    """The HTTP request that a message came with."""

    on_cancel: Callable[[], None] | None
    """Called when the client cancels the request."""

    @property
    def jobs_owner(self) -> str:
        """The owner of the jobs of this request."""

    @property
    def address(self) -> str:
        """The absolute URL of all routes."""

    def submission(self, service: str, body: Body, *, view: bool, accept: str) -> Submission: ...

    def sender(self) -> Uploader: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalls(McpServiceCalls):
    """Calls tools for one peer in one revision."""

    exchange: Exchange
    jobs: Jobs
    choice: ToolSelection

    async def call(self, message: RpcMessage) -> Json:
        """Return the result of ``tools/call``; raises ``RpcError`` or ``EasyMLNBError``."""
        try:
            return await self._call(message)
        except EasyMLNBError as error:
            if not is_for_models(error):
                raise
            return self.failed(error)

    async def _call(self, message: RpcMessage) -> Json:
        name, arguments = message.params.name, arguments_of(message)
        tool = self.server.find(name, self.peer, self.choice)
        if tool is not None:
            self._require(Scope.CALL)
            if tool.spec.on_timeout and self.server.runs_as_job(tool, self.peer):
                return await self._call_as_job(tool, arguments)
            return await self.call_service(tool, message)
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

    # jobs

    async def _submit(self, tool: Tool, arguments: bytes) -> Job:
        accept = WHOLE_VIEW if tool.view else ""
        body = self.body(tool, arguments)
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
        if job.state is not JobState.SUCCEEDED:
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
                return self.failed(error)
            raise error
        tool = self.server.find(
            tool_name(job.service), self.peer, ToolSelection(service=job.service)
        )
        files = self.jobs.store.files
        if await asyncio.to_thread(files.size, job.result) > MAX_RESULT:
            raise ResultNotEncodable(too_long())
        body = await asyncio.to_thread(files.get, job.result)
        return await self.written(job.service, tool, body, view=job.options.view)

    async def task(self, id: str) -> Json:
        """Return the result of ``tasks/get``; raises ``JobNotFound``."""
        job = await self.find_job(id)
        found = tasks.task(job)
        if job.state not in (JobState.SUCCEEDED, JobState.FAILED):
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
