"""A kernel of a real server, driven as JupyterLab does: over REST and the channels WebSocket."""

import json
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.sync.client import connect

TIMEOUT = 60.0


@dataclass
class Ran:
    """What came of a cell."""

    stdout: str = ""
    stderr: str = ""
    error: str = ""
    displays: list[dict[str, Any]] = field(default_factory=list)


class NotebookKernel:
    """One session of a notebook, whose file need not exist."""

    def __init__(
        self, http: httpx.Client, path: str = "work.ipynb", kernel: str = "python3"
    ) -> None:
        self._http = http
        root = str(http.base_url).removesuffix("easymlnb/")
        self._api = f"{root}api"
        self._token = http.headers["Authorization"].removeprefix("token ")
        body = {"path": path, "type": "notebook", "name": path, "kernel": {"name": kernel}}
        made = http.post(f"{self._api}/sessions", json=body)
        made.raise_for_status()
        self._session = made.json()["id"]
        self.id = made.json()["kernel"]["id"]
        self._connect()

    def _connect(self) -> None:
        url = self._api.replace("http", "ws", 1) + f"/kernels/{self.id}/channels"
        headers = {"Authorization": f"token {self._token}"}
        self._open = ExitStack()
        self._socket = self._open.enter_context(
            # The server opens the line when the kernel has come up, which takes its time.
            connect(url, additional_headers=headers, max_size=None, open_timeout=TIMEOUT)
        )

    def send(self, code: str) -> str:
        """Start a cell without waiting; returns the id of its message."""
        name = uuid.uuid4().hex
        header = {
            "msg_id": name, "msg_type": "execute_request", "username": "t", "session": "t",
            "version": "5.3", "date": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {},
                   "allow_stdin": False, "stop_on_error": False}  # fmt: skip
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content,
                   "channel": "shell", "buffers": []}  # fmt: skip
        self._socket.send(json.dumps(message))
        return name

    def wait(self, name: str) -> Ran:
        """Collect what a started cell shows until it is done."""
        ran = Ran()
        while True:
            message = self._socket.recv(TIMEOUT)
            if isinstance(message, bytes):
                continue
            data = json.loads(message)
            if data["parent_header"].get("msg_id") != name:
                continue
            content = data["content"]
            kind = data["header"]["msg_type"]
            if kind == "stream":
                setattr(ran, content["name"], getattr(ran, content["name"]) + content["text"])
            elif kind == "error":
                ran.error = f"{content['ename']}: {content['evalue']}"
            elif kind in ("display_data", "execute_result"):
                ran.displays.append(content["data"])
            elif kind == "status" and content["execution_state"] == "idle":
                return ran

    def run(self, code: str) -> Ran:
        return self.wait(self.send(code))

    def move(self, path: str) -> None:
        """Give the session another path; the kernel keeps the one it was started with."""
        self._http.patch(f"{self._api}/sessions/{self._session}", json={"path": path})

    def restart(self) -> None:
        self._open.close()
        self._http.post(f"{self._api}/kernels/{self.id}/restart").raise_for_status()
        self._connect()

    def model(self) -> dict[str, Any]:
        found: dict[str, Any] = self._http.get(f"{self._api}/kernels/{self.id}").json()
        return found

    def close(self) -> None:
        self._open.close()
        self._http.delete(f"{self._api}/kernels/{self.id}")
