"""When a worker's kernel on a node counts as gone: soon for calls, patiently for jobs."""

import math
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from easymlnb.contract.errors import NotReady
from easymlnb_server.placement.hub import node_worker
from easymlnb_server.placement.hub.node_protocol import OURS, KernelChange
from easymlnb_server.placement.hub.node_worker import (
    MAX_MISSES,
    NodeRecord,
    RemoteWorkerKernel,
    SlotCounter,
)

NODE = "easymlnb-gpu-1"


class Hub:
    """What the Hub says about the node; ``None``: the Hub is away."""

    def __init__(self) -> None:
        self.model: dict[str, Any] | None = {"ready": True}
        self.asked = 0
        self.changes: list[Any] = []

    async def servers(self) -> dict[str, Any]:
        self.asked += 1
        if self.model is None:
            raise NotReady("The Hub is away.")
        return {NODE: self.model} if self.model else {}

    async def close(self) -> None:
        pass


def make(monkeypatch: pytest.MonkeyPatch, hub: Hub, status: int, **record: Any) -> Any:
    async def request(self: Any, method: str, seconds: float, body: Any = None) -> httpx.Response:
        hub.changes += [body] if method == "PATCH" else []
        headers = {OURS: "1"} if status == 200 else {}
        return httpx.Response(status, headers=headers)  # without its request, as the real one

    monkeypatch.setattr(RemoteWorkerKernel, "_request", request)
    monkeypatch.setattr(node_worker, "PATIENT_MISSES", 20)
    found = NodeRecord(
        worker="w", placement="gpu", address=f"http://h/user/ann/{NODE}/", kernel="k", **record
    )
    slots = SlotCounter(1)

    def client() -> Any:
        return hub

    return RemoteWorkerKernel(Path("w.json"), found, slots, httpx.Auth(), None, client)


async def misses(kernel: Any) -> int:
    """Return how many checks find the kernel alive."""
    for count in range(50):
        if not await kernel.alive():
            return count
    return 50


@pytest.mark.parametrize(
    ("stay", "model", "expected"),
    [
        (0.0, {"ready": True}, MAX_MISSES - 1),
        (60.0, {"ready": True}, 19),
        (60.0, {"pending": "spawn"}, 19),
        (60.0, {"pending": None, "ready": False}, MAX_MISSES - 1),
        (60.0, {}, MAX_MISSES - 1),
        (60.0, None, 19),
    ],
)
async def test_a_node_that_is_not_reached(
    monkeypatch: pytest.MonkeyPatch, stay: float, model: Any, expected: int
) -> None:
    hub = Hub()
    hub.model = model
    kernel = make(monkeypatch, hub, 503, stay=stay)
    assert await misses(kernel) == expected
    assert bool(hub.asked) == bool(stay)
    assert await kernel.node_lost() and kernel.is_on_node


async def test_a_call_that_becomes_a_job_stays_as_long_as_other_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub()
    kernel = make(monkeypatch, hub, 200)
    await kernel.keep(60.0)
    await kernel.keep(60.0)
    assert hub.changes == [KernelChange(stay=60.0)]
    make(monkeypatch, hub, 503)  # the node is not reached from now on
    assert await misses(kernel) == 19
    other = make(monkeypatch, hub, 503)
    await other.keep(60.0)  # the node has not heard of it
    assert await misses(other) == MAX_MISSES - 1


async def test_a_node_that_answers_has_a_time_to_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = make(monkeypatch, Hub(), 200, stay=60.0, ends=time.time() + 50, over=time.time() + 90)
    assert await misses(kernel) == 50 and not await kernel.node_lost()
    assert 40 < kernel.replace_at - time.monotonic() < 51
    assert 80 < kernel.ends_at - time.monotonic() < 91
    assert make(monkeypatch, Hub(), 200).ends_at == math.inf
