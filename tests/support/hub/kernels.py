"""A kernel as JupyterLab uses it: started over REST, talked to over its websocket."""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from support.hub.hub import User

LIMIT = 90.0
OPEN = 60.0


@dataclass
class Ran:
    """What came of a cell: the reply's status, all that it printed, and comm messages."""

    status: str = ""
    text: str = ""
    comms: list[dict[str, Any]] = field(default_factory=list)


class Console:
    """One kernel of a user's server."""

    def __init__(self, user: User, spec: str) -> None:
        self._http = httpx.Client(base_url=f"{user.url}api/", headers=user.headers, timeout=120)
        answer = self._http.post("kernels", json={"name": spec})
        assert answer.status_code == 201, answer.text
        self.id = answer.json()["id"]
        self._session = uuid.uuid4().hex
        self._url = f"ws{user.url.removeprefix('http')}api/kernels/{self.id}/channels"
        self._headers = user.headers
        self._socket = self._open()

    def _open(self) -> ClientConnection:
        url = f"{self._url}?session_id={self._session}"
        how = connect(url, additional_headers=self._headers, max_size=None, open_timeout=OPEN)
        return how.__enter__()

    def open_again(self, user: User) -> None:
        """Connect again, as soon as the proxy lets it."""
        self._socket.close()

        def opened() -> bool:
            try:
                self._socket = self._open()
            except (OSError, EOFError, WebSocketException):
                return False
            return True

        user.hub.wait_for(opened, "the proxy did not come back", LIMIT)

    def send(self, kind: str, content: dict[str, Any], channel: str = "shell") -> str:
        message = uuid.uuid4().hex
        header = {"msg_id": message, "msg_type": kind, "username": "", "session": self._session}
        header |= {"version": "5.3", "date": "2026-01-01T00:00:00Z"}
        told = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        self._socket.send(json.dumps({**told, "channel": channel, "buffers": []}))
        return message

    def begin(self, code: str) -> str:
        """Begin to run a cell."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": True}
        return self.send("execute_request", {**content, "user_expressions": {}})

    def until(self, message: str, text: str) -> Ran:
        """Take what a running cell says until it has printed a text."""
        ran = Ran()
        while text not in ran.text:
            found = json.loads(self._socket.recv(LIMIT))
            if found["parent_header"].get("msg_id") == message:
                ran.text += found["content"].get("text", "")
        return ran

    def first(self, message: str) -> Ran:
        """Wait for the first words of a cell: it runs, and whatever carried it may go."""
        ran = Ran()
        while not ran.text:
            found = json.loads(self._socket.recv(LIMIT))
            if found["parent_header"].get("msg_id") == message:
                ran.text += found["content"].get("text", "")
        return ran

    def end(self, message: str, *, typed: str = "", ran: Ran | None = None) -> Ran:
        """Take what a cell says until it is done; ``typed`` answers its ``input()``."""
        ran = ran or Ran()
        idle = False
        while not (ran.status and idle):
            found = json.loads(self._socket.recv(LIMIT))
            kind, content = found["header"]["msg_type"], found["content"]
            if found["parent_header"].get("msg_id") != message:
                continue
            if kind == "stream":
                ran.text += content["text"]
            elif kind == "clear_output":
                ran.text = ""
            elif kind == "error":
                ran.text += content["ename"]
            elif kind.startswith("comm_"):
                ran.comms.append(content)
            elif kind == "input_request":
                self.send("input_reply", {"value": typed}, "stdin")
            elif kind == "execute_reply":
                ran.status = content["status"]
            elif kind == "status" and content["execution_state"] == "idle":
                idle = True
        return ran

    def run(self, code: str, typed: str = "") -> Ran:
        return self.end(self.begin(code), typed=typed)

    def tell(self, comm: str, data: Any) -> list[dict[str, Any]]:
        """Send a message to a comm and return what it says to it."""
        message = self.send("comm_msg", {"comm_id": comm, "data": data})
        return self.end(message, ran=Ran(status="none")).comms

    def post(self, what: str) -> None:
        answer = self._http.post(f"kernels/{self.id}/{what}")
        assert answer.status_code < 300, answer.text

    def close(self) -> None:
        self._socket.close()
        self._http.delete(f"kernels/{self.id}")
        self._http.close()
