"""Life of workers on a real server: memory, scaling to zero and up, GPUs."""

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from support.invariants import check, workers
from support.notebooks import make_notebook
from support.server import RunningServer, free_port

pytestmark = pytest.mark.timeout(400)  # servers and kernels start several times

GPU = "GPU-11111111-aaaa-bbbb-cccc-000000000001"

SERVICES = """
import os, time

import easymlnb as ml

KEPT = []

@ml.service(memory="400M", timeout=60)
def hoards(megabytes: int, keep: bool = True, seconds: float = 0.0) -> int:
    block = bytearray(os.urandom(2**20)) * megabytes
    time.sleep(seconds)
    if keep:
        KEPT.append(block)
    return os.getpid()
"""

SLEEPY = """
import os, time
import easymlnb as ml

@ml.service(min_workers=0, max_workers=3, idle=0.5, timeout=60, examples=[{}])
def dozes(seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return os.getpid()
"""

ON_GPU = """
import os
seen = os.environ["CUDA_VISIBLE_DEVICES"]
import easymlnb as ml
@ml.service(gpu=GPU_SHARE)
def NAME() -> str:
    return seen
"""


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server on a machine that seems to have a GPU."""
    folder = tmp_path_factory.mktemp("lively")
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "GPU 0: NVIDIA A100 (UUID: {GPU})"\n')
    program.chmod(0o755)
    made = RunningServer(folder, free_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        patch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)
        made.start()
    found = made.publish(make_notebook(SERVICES), "hoards.ipynb")
    assert found["state"] == "ready", found
    found = made.publish(make_notebook(SLEEPY), "dozes.ipynb")
    assert found["state"] == "ready", found
    yield made
    made.stop()


def ask(server: RunningServer, name: str, **values: Any) -> httpx.Response:
    return server.http.post(f"services/{name}/call", json=values, timeout=90)


def asleep(server: RunningServer) -> bool:
    return server.state("dozes") == "asleep"


def settled(server: RunningServer) -> None:
    """Wait until the sleepy service sleeps; then nothing but the other one's worker is there."""
    server.wait_for(lambda: asleep(server), "it does not sleep")
    check(server, 1, "hoards", megabytes=1, keep=False)


def test_call_that_takes_far_too_much_memory_is_told_and_its_worker_replaced(
    lively: RunningServer,
) -> None:
    old = ask(lively, "hoards", megabytes=1, keep=False).json()
    answer = ask(lively, "hoards", megabytes=900, seconds=30)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (503, "worker_out_of_memory")
    assert "400 MB" in error["message"]
    assert ask(lively, "hoards", megabytes=1, keep=False).json() != old
    settled(lively)


def test_worker_that_hoards_is_replaced_while_calls_go_on(lively: RunningServer) -> None:
    old = ask(lively, "hoards", megabytes=1, keep=False).json()
    assert ask(lively, "hoards", megabytes=400).json() == old
    assert psutil.Process(old).memory_info().rss > 400 * 2**20
    seen: list[httpx.Response] = []

    def replaced() -> bool:
        seen.append(ask(lively, "hoards", megabytes=1, keep=False))
        return bool(seen[-1].json() != old)

    lively.wait_for(replaced, "it is not replaced")
    assert {answer.status_code for answer in seen} == {200}
    settled(lively)
    stats = lively.http.get("services/hoards").json()["stats"]
    assert stats["restarts"] >= 1


def test_sleeping_service_is_seen_and_woken_by_a_call(lively: RunningServer) -> None:
    settled(lively)
    listed = {one["name"]: one for one in lively.http.get("services").json()["services"]}
    assert listed["dozes"]["state"] == "asleep"
    assert lively.http.get("health/ready").status_code == 200
    assert len(workers(lively)) == 1
    with ThreadPoolExecutor(1) as pool:
        # As long as it has a call it does not fall asleep again.
        call = pool.submit(ask, lively, "dozes", seconds=5)
        lively.wait_for(lambda: lively.state("dozes") == "ready", "it does not wake")
        answer = call.result(90)
    assert answer.status_code == 200, answer.text
    settled(lively)


def test_call_that_comes_as_its_worker_falls_asleep_is_answered(lively: RunningServer) -> None:
    pids = set()
    for number in range(6):
        answer = ask(lively, "dozes")
        assert answer.status_code == 200, answer.text
        pids.add(answer.json())
        time.sleep(0.6 + 0.2 * number)  # around the moment at which it is released
    assert len(pids) > 1
    settled(lively)


def test_who_reads_a_stream_is_told_that_the_service_wakes(lively: RunningServer) -> None:
    settled(lively)
    events: list[tuple[str, Any]] = []
    headers = {"Accept": "text/event-stream"}
    with lively.http.stream(
        "POST", "services/dozes/call", json={}, headers=headers, timeout=90
    ) as answer:
        assert answer.status_code == 200
        kind = ""
        for line in answer.iter_lines():
            if line.startswith("event:"):
                kind = line.partition(":")[2].strip()
            elif line.startswith("data:"):
                events.append((kind, json.loads(line.partition(":")[2])))
    states = [said.get("state") for kind, said in events if kind == "waiting"]
    assert states[:1] in (["asleep"], ["starting"]), events
    assert events[-1][0] == "result", events
    settled(lively)


def test_many_callers_get_more_workers_for_a_while(lively: RunningServer) -> None:
    over = threading.Event()

    def caller() -> set[int]:
        seen = set()
        while not over.is_set():
            answer = ask(lively, "dozes", seconds=0.2)
            assert answer.status_code == 200, answer.text
            seen.add(answer.json())
        return seen

    with ThreadPoolExecutor(6) as pool:
        seen = [pool.submit(caller) for _ in range(6)]
        try:
            stats = lambda: lively.http.get("services/dozes").json()["stats"]  # noqa: E731
            lively.wait_for(lambda: stats()["workers"] >= 2, "no second worker came", 90)
        finally:
            over.set()
        assert len(set.union(*(future.result(90) for future in seen))) >= 2
    settled(lively)


def on_gpu(server: RunningServer, name: str, gpu: str) -> dict[str, Any]:
    source = ON_GPU.replace("GPU_SHARE", gpu).replace("NAME", name)
    return server.publish(make_notebook(source), f"{name}.ipynb")


def test_workers_see_the_gpu_that_is_theirs_and_no_other(lively: RunningServer) -> None:
    for name, gpu in (("half", "0.5"), ("other_half", "1 / 2"), ("none_of_it", "0")):
        found = on_gpu(lively, name, gpu)
        assert found["state"] == "ready", found
    assert ask(lively, "half").json() == ask(lively, "other_half").json() == GPU
    assert ask(lively, "none_of_it").json() == ""
    for name in ("other_half", "none_of_it"):
        assert lively.http.delete(f"services/{name}").status_code == 204
    # What is left is not enough for a whole one: it waits until there is, and says so.
    sent = threading.Thread(target=on_gpu, args=(lively, "whole", "1"))
    sent.start()
    time.sleep(1)
    assert lively.http.delete("services/half").status_code == 204
    sent.join(120)
    assert ask(lively, "whole").json() == GPU
    assert lively.http.delete("services/whole").status_code == 204
    settled(lively)


def test_more_gpus_than_there_are_are_refused_with_what_to_do(lively: RunningServer) -> None:
    found = on_gpu(lively, "greedy", "2")
    assert found["state"] == "failed"
    assert "requests 2 GPUs, but this server can use one GPU" in found["error"]["message"]
    found = on_gpu(lively, "modest", "'prefer'")
    assert (found["state"], ask(lively, "modest").json()) == ("ready", GPU)
    assert lively.http.delete("services/modest").status_code == 204
    settled(lively)
