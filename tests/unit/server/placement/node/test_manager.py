"""A node ends kernels whose owner no longer sends heartbeats, and no others."""

import asyncio
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from msgspec.structs import replace

from easymlnb.contract.errors import NotReady
from easymlnb.contract.uv import find_uv
from easymlnb_server.placement.hub.node_protocol import KernelRequest
from easymlnb_server.placement.node import kernel
from easymlnb_server.placement.node.kernel import NodeKernel
from easymlnb_server.placement.node.manager import NodeKernelManager

pytestmark = pytest.mark.slow

ORPHANED_AFTER = 1.5


class Owner:
    """The connection of a kernel's owner."""

    def send(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "ORPHANED_AFTER", ORPHANED_AFTER)


@asynccontextmanager
async def a_node(folder: Path) -> AsyncIterator[NodeKernelManager]:
    made = NodeKernelManager(KernelSpecManager(), folder / "notes")
    keeping = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await made.close()


async def started(node: NodeKernelManager, folder: Path, worker: str = "") -> NodeKernel:
    return await node.start(
        KernelRequest(kernel="python3", key="k" * 32, worker=worker, folder=str(folder), slots=2)
    )


async def until(done: Callable[[], bool]) -> None:
    for _ in range(1200):
        if done():
            return
        await asyncio.sleep(0.05)
    pytest.fail("it did not come to that in a minute")


@pytest.mark.parametrize("worker", ["", "w1"])
async def test_a_kernel_ends_when_its_owner_was_not_heard_of_for_long(
    tmp_path: Path, worker: str
) -> None:
    async with a_node(tmp_path) as node:
        kernel = await started(node, tmp_path, worker)
        process = psutil.Process(kernel.pid)
        for owner in (Owner(), Owner()):  # each comes before the time is over
            kernel.attach(owner)
            await asyncio.sleep(2 * ORPHANED_AFTER)
            assert node.get(kernel.id) is kernel and process.is_running()
            kernel.detach(owner)
        await until(lambda: node.get(kernel.id) is None and not process.is_running())
        await until(lambda: not list((tmp_path / "notes").iterdir()))


async def test_an_owner_who_asks_without_being_connected_is_heard_of(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        # The one that is heard of starts last: a start may take longer than it lives unheard.
        unheard = await started(node, tmp_path)
        process = psutil.Process(unheard.pid)
        kernel = await started(node, tmp_path)

        def gone() -> bool:
            kernel.touch()
            return node.get(unheard.id) is None and not process.is_running()

        await until(gone)
        await until(lambda: len(list((tmp_path / "notes").iterdir())) == 1)
        assert node.get(kernel.id) is kernel


LEAVES = """
import os, pathlib, signal, time
def leave(number, frame):
    pathlib.Path("left").touch()
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
pathlib.Path("begun").touch()
time.sleep(60)
"""


async def test_a_node_that_closes_lets_kernels_of_jobs_leave(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        request = KernelRequest(kernel="python3", key="", worker="w1", folder=str(tmp_path))
        kernel = await node.start(request)
        kernel.keep(60.0)  # a call of it has become a job
        client = kernel.manager.client()
        client.start_channels()
        await client.wait_for_ready()
        # Nobody is heard of for longer than other kernels would run.
        await asyncio.sleep(2 * ORPHANED_AFTER)
        assert node.get(kernel.id) is kernel
        client.execute(LEAVES)
        await until((tmp_path / "begun").exists)
        client.stop_channels()
    assert (tmp_path / "left").exists()


async def test_a_node_that_closes_as_a_kernel_ends_waits_for_that(tmp_path: Path) -> None:
    async with a_node(tmp_path) as node:
        kernel = await started(node, tmp_path, "w1")
        process = psutil.Process(kernel.pid)
        # Its owner is not heard of.
        while node.get(kernel.id) is kernel:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)
        assert process.is_running()
    assert not process.is_running()
    assert not list((tmp_path / "notes").iterdir())


async def test_worker_that_a_signal_stopped_is_ended_and_an_interactive_kernel_is_not(
    tmp_path: Path,
) -> None:
    async with a_node(tmp_path) as node:
        worker = await started(node, tmp_path, "w1")
        other = await started(node, tmp_path)
        worker.attach(Owner())
        other.attach(Owner())
        process = psutil.Process(other.pid)
        for kernel in (other, worker):
            os.kill(kernel.pid, signal.SIGSTOP)
        await until(worker.ended.is_set)
        assert process.status() == psutil.STATUS_STOPPED
        assert not other.ended.is_set()


async def test_a_locked_environment_is_used_where_the_node_has_it(tmp_path: Path) -> None:
    command = [find_uv(), "venv", "-q", "-p", sys.executable, str(tmp_path / "env")]
    await asyncio.to_thread(subprocess.run, command, check=True)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "here.pth").write_text(sysconfig.get_path("purelib"))
    (tmp_path / "runtime").mkdir()
    locked = (str(tmp_path / "env"), str(tmp_path / "runtime"))
    request = KernelRequest(kernel="nosuch", key="k" * 32, worker="w1", locked=locked)
    async with a_node(tmp_path) as node:
        kernel = await node.start(request)
        kernel.touch()
        command = psutil.Process(kernel.pid).cmdline()
        environment = psutil.Process(kernel.pid).environ()
        assert command[0] == f"{tmp_path}/env/bin/python"
        assert environment["PYTHONPATH"] == f"{tmp_path}/runtime"
        await node.end(kernel)
        missing = replace(request, locked=(str(tmp_path / "none"), locked[1]))
        with pytest.raises(NotReady, match="does not share the server's files"):
            await node.start(missing)
