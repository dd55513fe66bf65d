"""Kernels on this machine: started with little, ended with all they started, or not at all."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from jupyter_client.kernelspec import KernelSpecManager

from easymlnb.contract.errors import NotReady
from easymlnb_server.placement import process_records
from easymlnb_server.placement.base import OrphanedWorker, Reservation, WorkerOrder
from easymlnb_server.placement.local import LocalPlacement
from easymlnb_server.placement.process_records import ProcessRecord
from support.fakes import left_in, until

pytestmark = pytest.mark.slow

KERNELS = {
    "real": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "dies": [sys.executable, "-c", "raise SystemExit(1)"],
    "silent": [sys.executable, "-c", "import time; time.sleep(600)"],
    "missing": ["/no/such/program", "{connection_file}"],
}


class Place:
    """A placement in folders of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.temporary, self.records = folder / "tmp", folder / "records"
        self.work = folder / "work"
        for path in (self.temporary, self.records, self.work):
            path.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(self.temporary))
        for name, argv in KERNELS.items():
            kernel = folder / "kernels" / name
            kernel.mkdir(parents=True)
            spec = {"argv": argv, "display_name": name, "language": "python"}
            (kernel / "kernel.json").write_text(json.dumps(spec))
        self.specs = KernelSpecManager(kernel_dirs=[str(folder / "kernels")])
        self.placement = self.next()

    def next(self, *gpus: str) -> LocalPlacement:
        """Return the placement of the next server on the same folders."""
        return LocalPlacement(self.specs, self.records, link="ws://127.0.0.1:9/x", gpus=gpus)

    def order(self, kernel: str, worker: str = "test-worker") -> WorkerOrder:
        return WorkerOrder(worker, kernel, self.work, "secret")

    def processes(self, worker: str = "test-worker") -> list[int]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("EASYMLNB_WORKER") == worker:
                    found.append(process.pid)
            except (psutil.Error, OSError):
                continue
        return found

    def clean(self) -> bool:
        return not (left_in(self.temporary) + left_in(self.records) + self.processes())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


async def test_kernel_starts_and_leaves_nothing(place: Place) -> None:
    started = await place.placement.start(place.order("real"))
    kernel = started.kernel
    assert await kernel.alive()
    assert left_in(place.records) == ["test-worker.json"]
    reply = await started.client.execute("import os; os.getcwd()", reply=True, timeout=60)
    assert reply["content"]["status"] == "ok"
    await kernel.stop()
    assert not await kernel.alive()
    assert place.clean()


@pytest.mark.parametrize(
    ("name", "said"),
    [("dies", "failed to start"), ("missing", "failed to start"), ("x", "no kernel")],
)
async def test_kernel_that_does_not_start(place: Place, name: str, said: str) -> None:
    with pytest.raises(NotReady, match=said):
        await place.placement.start(place.order(name))
    assert place.clean()


async def test_start_that_is_broken_off_leaves_nothing(place: Place) -> None:
    task = asyncio.create_task(place.placement.start(place.order("silent")))
    await until(place.processes)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert place.clean()


CHILD = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"


async def test_what_a_killed_server_left_half_started_is_ended(place: Place) -> None:
    started = await place.placement.start(place.order("real"))
    kernel = started.kernel
    await started.client.execute(CHILD, reply=True, timeout=60)
    assert len(place.processes()) == 2
    assert place.next().orphaned_workers() == []
    # They are children of this test, not of a dead server, so the test has to reap them.
    await kernel.stop()
    assert place.clean()


async def test_what_a_killed_server_left_serving_can_be_taken_over(place: Place) -> None:
    started = await place.placement.start(place.order("real"))
    kernel = started.kernel
    await kernel.save_record("bundle", "token")
    (file,) = place.records.iterdir()
    assert file.stat().st_mode & 0o077 == 0
    await started.client.execute(CHILD, reply=True, timeout=60)
    (found,) = place.next().orphaned_workers()
    assert found == OrphanedWorker("test-worker", "bundle", "token", found.kernel)
    assert await found.kernel.alive()
    assert found.kernel.memory() > 10 * 2**20
    await found.kernel.stop()
    assert not await found.kernel.alive()
    await kernel.stop()
    assert place.clean()


async def test_survivor_keeps_its_gpu(place: Place) -> None:
    before = place.next("GPU-a", "GPU-b")
    room = before.reserve(1)
    assert room == Reservation(("GPU-a",), 1.0)
    order = WorkerOrder("test-worker", "real", place.work, "secret", room)
    started = await before.start(order)
    kernel = started.kernel
    code = "import os; assert os.environ['CUDA_VISIBLE_DEVICES'] == 'GPU-a'"
    reply = await started.client.execute(code, reply=True, timeout=60)
    assert reply["content"]["status"] == "ok"
    await kernel.save_record("bundle", "token")
    after = place.next("GPU-a", "GPU-b")
    (survivor,) = after.orphaned_workers()
    assert after.reserve(1) == Reservation(("GPU-b",), 1.0)
    assert after.reserve(1) is None
    await survivor.kernel.stop()
    assert after.reserve(1) == Reservation(("GPU-a",), 1.0)
    await kernel.stop()


async def test_kernel_that_does_not_start_gives_its_gpu_back(place: Place) -> None:
    placement = place.next("GPU-a")
    for name in ("dies", "missing", "x"):
        room = placement.reserve(1)
        assert room is not None
        with pytest.raises(NotReady):
            await placement.start(WorkerOrder("test-worker", name, place.work, "secret", room))
    assert placement.reserve(1) is not None


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '"x"', "{}", '{"pid": 1}', '{"pid": "x", "started": 1}',
        '{"worker": "x", "pid": 999999999, "started": 1.0, "sockets": "emnb-x"}',
    ],
)  # fmt: skip
def test_damaged_notes_are_only_removed(place: Place, text: str) -> None:
    (place.records / "damaged.json").write_text(text)
    assert place.next().orphaned_workers() == []
    assert left_in(place.records) == []


def test_note_of_a_process_id_that_is_used_again_ends_nobody(place: Place) -> None:
    myself = psutil.Process()
    note = {
        "worker": "old", "pid": myself.pid, "started": myself.create_time() - 60,
        "sockets": "../records", "bundle": "b", "token": "t",
    }  # fmt: skip
    (place.records / "old.json").write_text(json.dumps(note))
    assert place.next().orphaned_workers() == []
    assert left_in(place.records) == []
    assert place.records.exists()


async def test_folder_for_temporary_files_may_have_a_long_name(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = place.temporary / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    started = await place.placement.start(place.order("real"))
    kernel = started.kernel
    (file,) = place.records.iterdir()
    folder = process_records.read(place.records, ProcessRecord)[file].folder  # type: ignore[union-attr]
    assert folder is not None and folder.stat().st_mode & 0o077 == 0
    assert {path.name for path in folder.iterdir()} >= {"k-1", "k-2"}
    await kernel.save_record("bundle", "token")
    (found,) = place.next().orphaned_workers()
    await found.kernel.stop()
    await kernel.stop()
    assert not folder.exists()
    assert not file.exists()
    assert left_in(deep) == []


def test_no_folder_for_sockets_is_said_with_what_to_do(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_records, "MAX_SOCKET_PATH", 20)
    with pytest.raises(OSError, match="Set TMPDIR to a folder with a path of at most"):
        process_records.socket_folder()
