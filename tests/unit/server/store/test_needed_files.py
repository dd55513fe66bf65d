"""What ``easymlnb gc`` must not remove."""

from easymlnb_server.batches.models import BatchProgress, StoredBlock
from easymlnb_server.batches.repository import BatchRepository
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.models import JobInput
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.schedules.models import Schedule
from easymlnb_server.schedules.repository import ScheduleRepository
from easymlnb_server.store.store import Store
from easymlnb_server.wiring import needed_files

from ..jobs.test_rules import make_job


def test_files_of_all_capabilities_are_needed(store: Store) -> None:
    names = {what: store.files.put(what.encode()) for what in ("plan", "header", "block", "input")}
    unused = store.files.put(b"nothing needs this")
    jobs = JobRepository(store.database)
    jobs.add(make_job(kind="batch", lane="batch"))
    (job,) = jobs.claim("batch", "me", 1, 100.0)
    running = jobs.apply(job, rules.begin(job, "", 101.0))
    assert running is not None
    progress = BatchProgress(names["plan"], "csv", names["header"], position=10, share=0.5)
    assert BatchRepository(store.database).add_blocks(
        running, progress, [StoredBlock(0, 0, 5, names["block"])]
    )
    schedule = Schedule(
        id="0" * 26, owner="user ann", user="ann", service="roll", cron="0 6 * * *", zone="UTC",
        input=JobInput(file=names["input"]),
    )  # fmt: skip
    assert ScheduleRepository(store.database).add(schedule, 10)
    needed_files.register(store)
    assert store.needed_files() >= set(names.values())
    assert unused not in store.needed_files()
