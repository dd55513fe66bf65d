"""Callers that call one time after the other, and what came of each call."""

import threading
from collections import Counter
from types import TracebackType
from typing import Any

import httpx
import psutil

from support.hub.hub import User

AWAY = "away"
"""What comes of a call that did not reach the server: the proxy was away, or answered itself."""


def straight(user: User) -> str:
    """Return the address of a user's own server, past the proxy."""
    model = user.hub.server(user.name)
    assert model is not None
    process = psutil.Process(model["state"]["pid"])
    (port,) = {c.laddr.port for c in process.net_connections("tcp") if c.status == "LISTEN"}
    return f"http://127.0.0.1:{port}/user/{user.name}/easymlnb/"


class Load:
    """Calls a service from some threads at once, as long as it is open.

    ``ends`` counts what came of the calls: ``ok``, an error's code, or ``AWAY``; ``values`` are
    the answers that there were.
    """

    def __init__(self, user: User, name: str, *, base: str = "", callers: int = 3) -> None:
        self.ends: Counter[str] = Counter()
        self.values: Counter[Any] = Counter()
        self._hub = user.hub
        self._url = f"{base or user.http.base_url}services/{name}/call"
        self._headers = user.headers
        self._over = threading.Event()
        self._line = threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        self.more()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int = 20) -> None:
        """Wait until the given number of further calls had correct results."""
        wanted = self.ends["ok"] + count
        self._hub.wait_for(lambda: self.ends["ok"] >= wanted, f"no answers but {self.ends}")

    def _call(self) -> None:
        with httpx.Client(headers=self._headers, timeout=150) as http:
            while not self._over.wait(0.02):
                end, value = self._once(http)
                with self._line:
                    self.ends[end] += 1
                    if end == "ok":
                        self.values[value] += 1

    def _once(self, http: httpx.Client) -> tuple[str, Any]:
        try:
            answer = http.post(self._url, json={})
            if answer.status_code == 200:
                return "ok", answer.json()
            return str(answer.json()["error"]["code"]), None
        except (httpx.TransportError, ValueError, KeyError, TypeError):
            return AWAY, None
