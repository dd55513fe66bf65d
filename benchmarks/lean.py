"""A kernel as JupyterLab talks to it, by a client that costs little itself.

One blocking socket, ``websockets``' protocol without I/O, and the binary messages that JupyterLab
uses too.
"""

import json
import socket
import struct
import uuid
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urlsplit

import httpx
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

SPEAKS = Subprotocol("v1.kernel.websocket.jupyter.org")
LIMIT = 60.0


class Kernel:
    """A kernel of the server at ``url``, with an open websocket; ``spec`` is its kernelspec."""

    def __init__(self, url: str, headers: dict[str, str], spec: str) -> None:
        self._http = httpx.Client(base_url=f"{url}api/", headers=headers, timeout=180)
        answer = self._http.post("kernels", json={"name": spec})
        self.id = answer.raise_for_status().json()["id"]
        self._session = uuid.uuid4().hex
        address = f"ws{url.removeprefix('http')}api/kernels/{self.id}/channels"
        self._protocol = ClientProtocol(
            parse_uri(f"{address}?session_id={self._session}"),
            subprotocols=[SPEAKS],
            max_size=None,
        )
        parts = urlsplit(address)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), LIMIT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = self._protocol.connect()
        for name, value in headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._events = self._read()
        next(self._events)
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc

    def run(self, code: str) -> None:
        """Run a cell, until its reply came and the kernel said that it is idle."""
        message = uuid.uuid4().hex
        header = {"msg_id": message, "msg_type": "execute_request", "username": ""}
        header |= {"session": self._session, "version": "5.3", "date": "2026-01-01T00:00:00Z"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        told = (header, {}, {}, {**content, "user_expressions": {}})
        self._protocol.send_binary(_pack([b"shell", *(json.dumps(part).encode() for part in told)]))
        self._send()
        replied = idle = False
        while not (replied and idle):
            _, head, parent, _, body, *_ = self._message()
            if json.loads(parent).get("msg_id") != message:
                continue
            kind, said = json.loads(head)["msg_type"], json.loads(body)
            if kind == "execute_reply":
                if said["status"] != "ok":
                    raise RuntimeError(str(said))
                replied = True
            elif kind == "status":
                idle = said["execution_state"] == "idle"

    def close(self) -> None:
        self._socket.close()
        self._http.delete(f"kernels/{self.id}")
        self._http.close()

    def _message(self) -> list[bytes]:
        whole = b""
        for event in self._events:
            if not isinstance(event, Frame) or event.opcode not in (Opcode.BINARY, Opcode.CONT):
                continue  # a ping
            whole += event.data
            if event.fin:
                return _unpack(whole)
        raise EOFError

    def _read(self) -> Iterator[object]:
        while True:
            self._send()
            data = self._socket.recv(2**18)
            if not data:
                return
            self._protocol.receive_data(data)
            yield from self._protocol.events_received()

    def _send(self) -> None:
        for data in self._protocol.data_to_send():
            self._socket.sendall(data)


def _pack(parts: list[bytes]) -> bytes:
    """Return a message as the number of its offsets, these, and the parts between them."""
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets) + b"".join(parts)


def _unpack(data: bytes) -> list[bytes]:
    (count,) = struct.unpack_from("<Q", data)
    offsets = struct.unpack_from(f"<{count}Q", data, 8)
    return [data[a:b] for a, b in pairwise(offsets)]
