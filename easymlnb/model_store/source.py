"""Where models come from: the server of this kernel or worker, through the Python client."""

import json
import os
import threading
from typing import Any

from easymlnb.client import Client, hub
from easymlnb.client.discovery import Server
from easymlnb.contract.errors import ServerUnreachable
from easymlnb.contract.model_protocol import GetModelAccess
from easymlnb.runtime import environment
from easymlnb.runtime.link_requests import REQUESTS

SCHEME = "easymlnb"
"""The scheme with which a worker authenticates."""

SECRET = "EASYMLNB_SECRET"


class WorkerAccess:
    """The token of this worker: the secret of its link before it is open, then one of the server.

    A token ends with its server. A new one comes with each message about a model.
    """

    def __init__(self) -> None:
        self._token = ""
        self._link: object = None
        self._lock = threading.Lock()

    def receive(self, token: str) -> None:
        """Use a token that the server has sent."""
        self._token, self._link = token, REQUESTS.transport

    def token(self) -> str:
        """Return the token, which is asked for if there is none."""
        if secret := os.environ.get(SECRET, ""):
            return secret
        with self._lock:
            if not self._token or self._link is not REQUESTS.transport:
                self.receive(_ask())
            return self._token


ACCESS = WorkerAccess()


def client(url: str | None = None, token: str | None = None) -> Client:
    """Return a client of the server that has the models.

    It is the one that published services run on. Raises ``ServerUnreachable``.
    """
    worker = ACCESS.token() if environment.in_worker() else ""
    key = (url or "", worker or token or "")
    if key not in _clients:
        server = _worker_server(worker) if worker else hub.publish_target(url, token)
        _clients[key] = Client(server)
    return _clients[key]


def close() -> None:
    """Close the connections; the next request finds the server again."""
    while _clients:
        _clients.popitem()[1].close()


_clients: dict[tuple[str, str], Client] = {}


def _worker_server(token: str) -> Server:
    link = os.environ["EASYMLNB_LINK"].replace("ws", "http", 1)
    cafile = os.environ.get("EASYMLNB_CAFILE", "")
    return Server(link.removesuffix("link"), token, SCHEME, cafile)


def _ask() -> str:
    """Ask the server for a token over the link."""
    transport = REQUESTS.transport
    if transport is None:
        raise ServerUnreachable("This worker has lost its server.")
    request = REQUESTS.begin()
    transport.send(GetModelAccess(id=request.number), b"")
    try:
        while not request.done():
            transport.wait(request)
        found: Any = json.loads(bytes(request.result().body))
    finally:
        REQUESTS.forget(request)
    return str(found)
