"""A small client of the Model Context Protocol, which shows each message as it is."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

CURRENT = "2026-07-28"
TASKS = "io.modelcontextprotocol/tasks"
NAMED = {"tools/call": "name", "resources/read": "uri"}


class RpcFailure(Exception):
    """An error of the protocol."""

    def __init__(self, error: dict[str, Any], status: int) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.data: Any = error.get("data")
        self.status = status


@dataclass
class Rpc:
    """A client of one revision: the current one, or one with a handshake."""

    http: httpx.Client
    path: str
    version: str = CURRENT
    session: str = ""
    tasks: bool = False
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def with_tasks(self) -> "Rpc":
        """Return a client that announces the extension for tasks."""
        return replace(self, tasks=True)

    @property
    def current(self) -> bool:
        return self.version == CURRENT

    def message(self, method: str, id: int | None = None, **params: Any) -> dict[str, Any]:
        if self.current:
            extensions = {"extensions": {TASKS: {}}} if self.tasks else {}
            meta = {
                "io.modelcontextprotocol/protocolVersion": CURRENT,
                "io.modelcontextprotocol/clientCapabilities": extensions,
            }
            params["_meta"] = meta | params.get("_meta", {})
        return {"jsonrpc": "2.0", "id": id or next(self.ids), "method": method, "params": params}

    def headers(self, message: dict[str, Any]) -> dict[str, str]:
        found = {"Accept": "application/json, text/event-stream"}
        if self.version >= "2025-06-18" and message["method"] != "initialize":
            found["MCP-Protocol-Version"] = self.version
        if self.current:
            found["MCP-Protocol-Version"] = self.version
            found["Mcp-Method"] = message["method"]
            if named := NAMED.get(message["method"]):
                found["Mcp-Name"] = message["params"].get(named, "")
        if self.session:
            found["Mcp-Session-Id"] = self.session
        return found

    def call(
        self, method: str, *, headers: dict[str, str] | None = None, **params: Any
    ) -> dict[str, Any]:
        """Return the result of a request; raises ``RpcFailure``."""
        message = self.message(method, **params)
        sent = self.headers(message) | (headers or {})
        answer = self.http.post(self.path, json=message, headers=sent)
        if session := answer.headers.get("Mcp-Session-Id"):
            self.session = session
        found = answer.json()
        assert (found["jsonrpc"], found["id"]) == ("2.0", message["id"]), found
        if "error" in found:
            raise RpcFailure(found["error"], answer.status_code)
        assert answer.status_code == 200, found
        result: dict[str, Any] = found["result"]
        assert ("resultType" in result) == self.current
        return result

    def initialize(self) -> dict[str, Any]:
        about = {"name": "test", "version": "1"}
        return self.call(
            "initialize", protocolVersion=self.version, capabilities={}, clientInfo=about
        )

    def notify(self, method: str, **params: Any) -> int:
        """Send a notification and return the status."""
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        return self.http.post(self.path, json=message, headers=self.headers(message)).status_code

    def tool(
        self, name: str, /, *, headers: dict[str, str] | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Return the result of a tool."""
        return self.call("tools/call", headers=headers, name=name, arguments=arguments)

    def events(self, name: str, /, *, token: str | int, **arguments: Any) -> Any:
        """Yield the messages that answer a call with a progress token."""
        message = self.message(
            "tools/call", name=name, arguments=arguments, _meta={"progressToken": token}
        )
        with self.http.stream(
            "POST", self.path, json=message, headers=self.headers(message)
        ) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert answer.headers["X-Accel-Buffering"] == "no"
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line[6:])

    def task(self, id: str) -> dict[str, Any]:
        """Poll a task until it has ended."""
        return self.wait_for(
            lambda: found if (found := self.call("tasks/get", taskId=id))["status"] != "working"
            else None
        )  # fmt: skip

    def wait_for(self, done: Callable[[], Any]) -> Any:
        until = time.monotonic() + 60
        while not (found := done()):
            assert time.monotonic() < until, "it took too long"
            time.sleep(0.05)
        return found


def call_example(http: httpx.Client, service: str) -> dict[str, Any]:
    """Call a service as a tool with its first example, and return the result."""
    (values, *_) = http.get(f"services/{service}").json()["examples"]
    found = Rpc(http, f"services/{service}/mcp").tool(service, **values)
    assert not found.get("isError"), found
    assert found["structuredContent"] is not None
    return found
