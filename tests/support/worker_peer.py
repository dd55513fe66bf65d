"""The server's end of a worker's link, for tests of its loop: it speaks the protocol only."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue
from typing import Any

from websockets.sync.server import Server, ServerConnection, serve

from easymlnb.contract.worker_protocol import (
    Call,
    Failure,
    Hello,
    NotStarted,
    Progress,
    Result,
    pack,
    unpack_to_server,
)

SCRIPT = Path(__file__).with_name("worker_process.py")
WAIT = 60.0


class Peer:
    """The server's end: sends frames, collects what comes."""

    def __init__(self) -> None:
        self.got: Queue[tuple[Any, bytes]] = Queue()
        self.connection: ServerConnection | None = None
        self.secret = ""
        self._server: Server = serve(self._serve, "127.0.0.1", 0, max_size=None)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        port = self._server.socket.getsockname()[1]
        self.process = subprocess.Popen([sys.executable, str(SCRIPT), f"ws://127.0.0.1:{port}/x"])
        self._ids = iter(range(1, 10**9))
        assert isinstance(self.next(), Hello)
        self.offer = self.next()

    def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.secret = connection.request.headers["Authorization"]
        self.connection = connection
        for data in connection:
            assert isinstance(data, bytes)
            for frame in unpack_to_server(data):
                self.got.put(frame)

    def next(self) -> Any:
        self.body: bytes
        message, self.body = self.got.get(timeout=WAIT)
        return message

    def end(self) -> Any:
        """Return the next answer, or call given back; items before it are skipped."""
        while not isinstance(message := self.next(), Result | Failure | NotStarted):
            pass
        return message

    def send(self, *frames: bytes) -> None:
        assert self.connection is not None
        self.connection.send(b"".join(frames))

    def call(self, service: str, **values: Any) -> int:
        number, frame = self.frame(service, **values)
        self.send(frame)
        return number

    def begun(self, service: str, **values: Any) -> int:
        """Send a call and wait until its function has begun, which reports its progress."""
        number, frame = self.frame(service, progress=True, **values)
        self.send(frame)
        self.wait_for_progress()
        return number

    def wait_for_progress(self) -> None:
        while not isinstance(self.next(), Progress):
            pass

    def frame(self, service: str, progress: bool = False, **values: Any) -> tuple[int, bytes]:
        number = next(self._ids)
        call = Call(id=number, service=service, progress=progress)
        return number, pack(call, json.dumps(values).encode())

    def answer(self, service: str, **values: Any) -> Any:
        number = self.call(service, **values)
        message = self.end()
        assert message.id == number
        return json.loads(self.body) if isinstance(message, Result) else message.code

    def close(self) -> None:
        self._server.shutdown()
        self.process.kill()
        self.process.wait(WAIT)
