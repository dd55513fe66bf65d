"""Calls the tools of a server with the official Python client, and prints what it gets.

Arguments: URL, token, folder for the function that is canceled.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, Request, RequestParams, Result

URL, TOKEN, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])


class Task(Result):
    """A call that became a task."""

    result_type: Literal["task"] = "task"
    task_id: str
    poll_interval_ms: int = 1000


class TaskParams(RequestParams):
    task_id: str


class GetTask(Request[TaskParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: TaskParams
    name_param = "taskId"


class TaskState(Result):
    status: str
    result: dict[str, Any] | None = None


class Tasks(ClientExtension):
    """The extension for tasks: polls until the task has ended."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self) -> None:
        self.polled = 0

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return (ResultClaim(result_type="task", model=Task, resolve=self.resolve),)

    async def resolve(self, task: Task, context: ClaimContext) -> CallToolResult:
        while True:
            self.polled += 1
            request = GetTask(params=TaskParams(task_id=task.task_id))
            state = await context.session.send_request(request, TaskState)
            if state.status != "working":
                assert state.result is not None, state
                return CallToolResult.model_validate(state.result)
            await anyio.sleep(0.1)


async def code_of(awaitable: Any) -> int:
    """Return the code of the error that a request ends with."""
    try:
        await awaitable
    except MCPError as error:
        return error.code
    raise AssertionError("There was no error.")


async def appears(path: Path) -> bool:
    """Wait for a file, for at most a minute; return whether it is there."""
    for _ in range(3000):
        if await anyio.Path(path).exists():
            return True
        await anyio.sleep(0.02)
    return False


async def nap(client: Client, folder: Path) -> bool:
    """Cancel a call that runs, and return whether its function was stopped."""
    async with anyio.create_task_group() as group:
        group.start_soon(client.call_tool, "tools_nap", {"folder": str(folder)})
        assert await appears(folder / "started")
        group.cancel_scope.cancel()
    return await appears(folder / "stopped")


async def walk(mode: str) -> dict[str, Any]:
    seen: list[str | None] = []

    async def progress(reached: float, total: float | None, message: str | None) -> None:
        seen.append(message)

    def dumped(result: Any) -> Any:
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)

    tasks = Tasks()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(URL, http_client=http)
        async with Client(transport, mode=mode, extensions=[tasks]) as client:
            listed = await client.list_tools()
            found: dict[str, Any] = {
                "version": client.session.protocol_version,
                "tools": [tool.name for tool in listed.tools],
                "add": dumped(await client.call_tool("tools_add", {"a": 40})),
                "stats": dumped(await client.call_tool("tools_stats", {"values": [1, 2]})),
                "picture": dumped(await client.call_tool("tools_picture", {})),
                "failed": dumped(await client.call_tool("tools_fail", {"how": "told"})),
                "count": dumped(
                    await client.call_tool("tools_count", {"to": 3}, progress_callback=progress)
                ),
                "train": dumped(await client.call_tool("tools_train", {"epochs": 2})),
                "unknown": await code_of(client.call_tool("nosuch", {})),
                "no_resource": await code_of(client.read_resource("easymlnb://results/none")),
            }
            link = (await client.call_tool("tools_bytes", {"count": 2**21})).content[1]
            content = (await client.read_resource(link.uri)).contents[0]
            found["bytes"] = len(content.blob) * 3 // 4
            folder = FOLDER / mode
            folder.mkdir()
            found["stopped"] = await nap(client, folder)
            return found | {"progress": seen, "polled": tasks.polled}


async def main() -> None:
    print(json.dumps({mode: await walk(mode) for mode in ("auto", "2026-07-28", "legacy")}))


anyio.run(main)
