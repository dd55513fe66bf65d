"""A scripted server that answers about the versions of one service, without a network."""

import json
from typing import Any

import httpx

from easymlnb.client import Client
from easymlnb.client.discovery import Server
from easymlnb.contract.errors import BreakingVersion, EasyMLNBError

SERVER = Server("http://localhost:1/easymlnb/", "secret")
TRAFFIC: dict[str, Any] = {
    "weights": {"3": 100}, "aliases": {"production": 3}, "sticky": None, "shadow": None,
    "rollback": 2, "promotion": None,
}  # fmt: skip
PROMOTION: dict[str, Any] = {
    "id": "p1", "version": 4, "base": 3, "state": "running", "reason": "", "steps": [5, 100],
    "step": 1, "percent": 5, "every": 600,
}  # fmt: skip
VERSIONS = [
    {"version": 3, "weight": 100, "aliases": ["production"], "created": "2026-01-02T03:04:05"},
    {"version": 4, "weight": 0, "aliases": [], "created": "2026-01-03T03:04:05"},
]


class TrafficServer:
    """Keeps the requests, and applies changes of traffic.

    ``promotions`` is the list that it returns; ``refusal`` answers all changes.
    """

    def __init__(self) -> None:
        self.seen: list[httpx.Request] = []
        self.promotions: list[dict[str, Any]] = [PROMOTION]
        self.refusal: EasyMLNBError | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.refusal is not None and request.method != "GET":
            return httpx.Response(self.refusal.status, json=self.refusal.to_dict())
        route = request.url.path.removeprefix("/easymlnb/services/f").strip("/")
        body = json.loads(request.content) if request.content else {}
        if route == "traffic":
            return httpx.Response(200, json={**TRAFFIC, **body}, headers={"ETag": '"7"'})
        if route == "rollback":
            changed = {**TRAFFIC, "weights": {"2": 100}, "rollback": 3}
            return httpx.Response(200, json=changed, headers={"ETag": '"8"'})
        if request.method == "DELETE" and route.startswith("versions/"):
            return httpx.Response(204)
        return httpx.Response(200, json=self._answer(route, request.method))

    def _answer(self, route: str, method: str) -> dict[str, Any]:
        if route == "":
            return {"name": "f", "title": "F", "input": {}, "output": {}}
        if route == "versions":
            return {"versions": VERSIONS}
        if route == "promotions" and method == "GET":
            return {"promotions": self.promotions}
        states = {"pause": "paused", "resume": "running", "p1": "canceled"}
        return {**PROMOTION, "state": states.get(route.rpartition("/")[2], "running")}

    def client(self) -> Client:
        return Client(SERVER, transport=httpx.MockTransport(self))

    @property
    def sent(self) -> tuple[str, str, Any]:
        """Method, route and body of the last request."""
        last = self.seen[-1]
        route = last.url.path.removeprefix("/easymlnb/services/f/")
        return last.method, route, json.loads(last.content) if last.content else None


def breaking() -> BreakingVersion:
    return BreakingVersion(4, 3, ["parameter 'x' was removed"])
