"""A source on both databases: one job and one result for each file, whatever happens between."""

import asyncio
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from easymlnb.contract.errors import (
    EasyMLNBError,
    JobNotFound,
    LimitExceeded,
    NotReady,
    ServiceNotFound,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import Caller, SingleUserDirectory
from easymlnb_server.identity.principals import Principals
from easymlnb_server.jobs import rules as job_rules
from easymlnb_server.jobs.models import Job
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.storage_events import subfolders
from easymlnb_server.storage_events import watcher as watcher_module
from easymlnb_server.storage_events.folder import FolderPlace
from easymlnb_server.storage_events.models import Found, ItemState, Source
from easymlnb_server.storage_events.repository import StorageRepository
from easymlnb_server.storage_events.rules import Settling
from easymlnb_server.storage_events.watcher import Watcher, WatcherParts
from easymlnb_server.store.store import Store

from ..jobs.test_rules import make_job

ANN = Caller("ann", admin=True)
TABLE = {"type": "string", "x-easymlnb": {"accept": ["text/csv"]}}


class FakeJobs:
    """Stores jobs, and runs them on request."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.repository = JobRepository(store.database)
        self.refusal: EasyMLNBError | None = None

    def check(self, submission: Submission) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def submit(self, submission: Submission, store: Callable[[Job], Job]) -> Job:
        job = make_job(owner=submission.owner, service=submission.service, key=submission.key)
        job = msgspec.structs.replace(job, input_type=submission.content_type)
        return await asyncio.to_thread(store, job)

    async def get(self, id: str, owner: str | None) -> Job:
        return self.repository.get(id)

    def run_all(self) -> None:
        """End each job: a file with ``bad`` fails, others get their size."""
        for job in self.repository.claim("jobs", "me", 100, 1.0):
            body = self.store.files.get(job.input.file)
            if b"bad" in body:
                change = job_rules.fail(job, {"code": "call_failed", "message": "bad"}, 1.0)
            else:
                name = self.store.files.put(b"%d" % len(body))
                result = {"result": name, "result_type": "application/json", "result_name": ""}
                change = job_rules.succeed(job, result, 1.0)
            assert self.repository.apply(job, change) is not None


class FakeServices:
    limit = 100
    parameter: Any = TABLE

    def find(self, name: str) -> Any:
        schema = {"type": "object", "properties": {"data": self.parameter}}
        spec = ServiceSpec(name=name, title="", input=schema, output={}, max_body=self.limit)
        return type("Target", (), {"spec": spec})


class World:
    def __init__(self, store: Store, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.jobs = FakeJobs(store)
        self.rows = StorageRepository(store.database)
        self.services = FakeServices()
        self.start()

    def start(self) -> None:
        source = Source(service="f", folder=str(self.folder), max_jobs=5, recursive=True)
        self.place = FolderPlace(source, lambda: self.now)
        self.place.open()
        users = Principals(SingleUserDirectory(), ANN, shared=False, on_hub=False)
        jobs: Any = self.jobs
        parts = WatcherParts(jobs, self.services, users, lambda: self.rows)  # type: ignore[arg-type]
        self.watcher = Watcher("scans", source, self.place, parts)

    def crash(self) -> None:
        """End the server without a goodbye; the next one starts."""
        self.place.close()
        self.start()

    async def look(self) -> None:
        for _ in range(2):
            await self.watcher.look()
            self.now += 1.1

    def done(self) -> dict[str, str]:
        folder = self.folder / "done"
        return {path.name: path.read_text() for path in sorted(folder.rglob("*.*"))}

    @property
    def made(self) -> int:
        return self.jobs.repository.find(limit=1000)[1]

    def states(self) -> list[str]:
        return [one.state for one in self.rows.latest("scans", 100)]


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "inbox"
    folder.mkdir()
    made = World(store, folder)
    yield made
    made.place.close()


async def test_a_file_becomes_a_job_and_its_result_a_file(world: World) -> None:
    (world.folder / "a.csv").write_text("1,2")
    (world.folder / "b.csv").write_text("bad")
    await world.look()
    assert (world.made, world.states()) == (2, ["running", "running"])
    job = world.jobs.repository.find(limit=1)[0][0]
    assert job.input_type.startswith("multipart/form-data; boundary=")
    world.jobs.run_all()
    await world.look()
    done = world.done()
    assert list(done) == ["a.csv", "a.csv.result.json", "b.csv", "b.csv.error.json"]
    assert msgspec.json.decode(done["b.csv.error.json"])["code"] == "call_failed"
    assert sorted(world.states()) == ["failed", "succeeded"]
    assert world.rows.counts() == {"scans": {"succeeded": 1, "failed": 1}}


async def test_no_more_files_are_taken_than_jobs_may_wait(world: World) -> None:
    for number in range(8):
        (world.folder / f"{number}.csv").write_text("1")
    await world.look()
    await world.look()
    assert world.made == 5
    world.jobs.run_all()
    await world.look()
    assert world.made == 8


async def test_what_cannot_be_a_job_gets_an_error(world: World) -> None:
    (world.folder / "large.csv").write_text("x" * 101)
    await world.look()
    assert "too_large" in world.done()["large.csv.error.json"]
    assert world.made == 0


async def test_a_file_of_another_kind_does_not_stop_its_source(world: World) -> None:
    world.services.parameter = {"type": "number"}
    (world.folder / "a.csv").write_text("1")
    (world.folder / "b.json").write_text('{"data": 1}')
    await world.look()
    world.jobs.run_all()
    await world.look()
    done = world.done()
    assert list(done) == ["a.csv", "a.csv.error.json", "b.json", "b.json.result.json"]
    error = msgspec.json.decode(done["a.csv.error.json"])
    assert (error["code"], "takes no files of the type 'text/csv'" in error["message"]) == (
        "bad_request", True,
    )  # fmt: skip


async def test_the_same_object_of_two_notifications_at_once_is_taken_once(world: World) -> None:
    """A webhook and the queue name the same objects, in another order."""
    found = [Found(f"{n:026}", f"identity {n}", f"{n}.csv", "p", 1) for n in range(20)]
    again = [msgspec.structs.replace(one, id=f"x{one.id[1:]}") for one in reversed(found)]
    added = await asyncio.gather(*(world.watcher.take(one) for one in (found, again, found)))
    assert sum(added) == len(found) == len(world.states())


@pytest.mark.parametrize(
    "error",
    [ServiceNotFound("f"), NotReady("no"), LimitExceeded("you", "per_day", 1, 1)],
    ids=lambda e: e.code,
)
async def test_a_source_waits_for_its_service(world: World, error: EasyMLNBError) -> None:
    (world.folder / "a.csv").write_text("1")
    world.jobs.refusal = error
    with pytest.raises(type(error)):
        await world.look()
        await world.look()
    assert world.states() == ["taken"]
    world.jobs.refusal = None
    await world.look()
    assert world.states() == ["running"]


async def test_a_job_that_was_removed_leaves_an_error(world: World) -> None:
    (world.folder / "a.csv").write_text("1")
    await world.look()
    world.jobs.run_all()
    job = world.jobs.repository.find(limit=1)[0][0]
    world.jobs.repository.remove(job.id)
    await world.look()
    assert JobNotFound.code in world.done()["a.csv.error.json"]


async def test_the_same_object_is_taken_once(world: World) -> None:
    (world.folder / "a.csv").write_text("1")
    await world.look()
    (item,) = world.rows.latest("scans", 10)
    assert world.rows.add([msgspec.structs.replace(item, id="0" * 26)]) == 0
    world.rows.purge(10.0**10)
    assert len(world.rows.latest("scans", 10)) == 1  # it has not ended


async def until(done: Callable[[], object]) -> None:
    """Give other tasks and threads time until ``done``."""
    async with asyncio.timeout(30):
        while not done():
            await asyncio.to_thread(threading.Event().wait, 0.01)


async def test_a_source_runs_until_it_is_canceled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes wake it; a folder that is replaced is opened again."""
    monkeypatch.setattr(watcher_module, "RETRY", 0.02)
    world.place.close()
    shutil.rmtree(world.folder)
    world.place._clock = time.monotonic
    world.place._settling = Settling(0.1)
    world.place._source = msgspec.structs.replace(world.watcher.source, settle=0.1)
    task = asyncio.create_task(world.watcher.run())
    await until(lambda: "no folder" in world.watcher.reason)
    for name in ("a.csv", "b.csv"):
        world.folder.mkdir()
        await until(lambda: world.watcher.state == "watching")
        (world.folder / name).write_text("1")
        await until(lambda: "running" in world.states())
        world.jobs.run_all()
        world.watcher.wake()
        await until(lambda: "running" not in world.states())
        assert f"{name}.result.json" in world.done()
        shutil.rmtree(world.folder)
        world.watcher.wake()
        await until(lambda: world.watcher.state == "waiting")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.watcher.state == "stopped"


STEPS = ("add", "confirm", "submit", "set_target", "finish", "end")


class Killed(BaseException):
    """The process ended here."""


async def test_each_file_has_one_job_and_one_result_after_crashes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """End the server before and after random steps, until all files are done."""
    chance = random.Random(1)

    def with_crashes(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            if chance.random() < 0.15:
                raise Killed
            found = function(*arguments)
            if chance.random() < 0.15:
                raise Killed
            return found

        return run

    for owner in (StorageRepository, FolderPlace):
        for step in STEPS:
            if hasattr(owner, step):
                monkeypatch.setattr(owner, step, with_crashes(getattr(owner, step)))
    for step in ("move", "write", "remove_empty"):
        monkeypatch.setattr(subfolders, step, with_crashes(getattr(subfolders, step)))
    (world.folder / "inner").mkdir()
    for number in range(20):
        path = world.folder / ("inner" if number % 2 else "") / f"{number:02}.csv"
        path.write_text("bad" if number % 5 == 0 else "x" * number)
    crashes, ended = 0, {ItemState.SUCCEEDED, ItemState.FAILED}
    for _ in range(500):
        try:
            await world.look()
        except Killed:
            crashes += 1
            world.crash()
        world.jobs.run_all()
        if len(world.states()) == 20 and ended.issuperset(world.states()):
            break
    assert crashes > 20
    assert world.made == 20
    done = world.done()
    assert len(done) == 40
    assert sum(name.endswith(".error.json") for name in done) == 4
    assert [one.name for one in (world.folder / ".working").iterdir()] == ["server.lock"]
