"""An app page without a browser: its cookies, its place, and its WebSocket."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from easymlnb_server.apps import jupyter_messages
from support.server import RunningServer

V1 = Subprotocol(jupyter_messages.V1)


@dataclass
class Page:
    """What a browser would know of a page: its cookies, its place, its widget."""

    server: RunningServer
    client: httpx.Client
    here: str
    place: str
    root: str

    def url(self, rest: str = "channels") -> str:
        return f"{self.here}api/kernels/{self.place}/{rest}"

    @contextmanager
    def line(self, v1: bool = True, **headers: str) -> Iterator["Line"]:
        cookies = "; ".join(f"{one.name}={one.value}" for one in self.client.cookies.jar)
        url = f"ws://127.0.0.1:{self.server.port}{self.url()}"
        headers = {"Cookie": cookies, **headers}
        if "Authorization" in self.client.headers:
            headers["Authorization"] = self.client.headers["Authorization"]
        with connect(
            url,
            subprotocols=[V1] if v1 else None,
            additional_headers=headers,
            max_size=None,
            open_timeout=60,
        ) as socket:
            yield Line(socket, v1)


@dataclass
class Line:
    socket: ClientConnection
    v1: bool
    count: int = 0
    known: dict[str, Any] = field(default_factory=dict)

    def say(self, kind: str, content: Any, channel: str = "shell", *buffers: bytes) -> None:
        self.count += 1
        header = {"msg_id": f"m{self.count}", "msg_type": kind, "session": "s", "username": ""}
        message = jupyter_messages.JupyterMessage(
            channel,
            kind,
            json.dumps(header).encode(),
            b"{}",
            b"{}",
            json.dumps(content).encode(),
            buffers,
        )
        self.socket.send(jupyter_messages.write(message, self.v1))

    def hear(self, kind: str) -> Any:
        """Return the content of the next message of a kind."""
        while True:
            message = jupyter_messages.read(self.socket.recv(timeout=60), self.v1)
            if message.kind == kind:
                return json.loads(message.content)

    def states(self) -> dict[str, Any]:
        """Return what the page may know of widgets."""
        self.say("comm_open", {"comm_id": "c", "target_name": "jupyter.widget.control", "data": {}})
        self.say("comm_msg", {"comm_id": "c", "data": {"method": "request_states"}})
        while True:
            content = self.hear("comm_msg")
            if content["comm_id"] == "c":
                self.say("comm_close", {"comm_id": "c", "data": {}})
                found: dict[str, Any] = content["data"]["states"]
                return found

    def update(self, model: str, **state: Any) -> None:
        self.say("comm_msg", {"comm_id": model, "data": {"method": "update", "state": state}})


def open_page(server: RunningServer, client: httpx.Client, path: str) -> Page:
    """Open a page below our routes with the cookies of a client, without a browser."""

    def opened() -> tuple[str, re.Match[str]] | None:
        # While there is no room, a page comes that says so and asks again.
        text = client.get(f"{server.url}easymlnb/{path}").raise_for_status().text
        place = re.search(r'"kernelId": "([0-9a-f-]+)"', text)
        return (text, place) if place else None

    text, place = server.wait_for(opened, "the page did not open")
    root = re.search(r'"model_id": "([0-9a-f]+)"', text)
    assert root
    return Page(server, client, f"{server.base}easymlnb/{path}/", place[1], root[1])


def pass_of(page: Page) -> str:
    """Return the ``Authorization`` header of a page's pass, as its file field shows it."""
    with page.line() as line:
        found = re.search(r"easymlnb-pass [\w-]+", json.dumps(line.states()))
    assert found
    return found[0]
