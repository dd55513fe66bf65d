"""The rows of batches and of the trials of sweeps, on both databases."""

from msgspec.structs import replace
from sqlalchemy import select

from easymlnb_server.batches.models import BatchProgress, StoredBlock, StoredPart
from easymlnb_server.batches.repository import TABLES, BatchRepository, forget
from easymlnb_server.batches.sweep_repository import TrialRepository
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.models import BATCH, SWEEP, TRIAL, Job, JobState
from easymlnb_server.jobs.repository import JobRepository

from .test_rules import make_job


def started(jobs: JobRepository, kind: str) -> Job:
    """Return a running job of a kind."""
    jobs.add(make_job(kind=kind, lane=kind))
    (job,) = jobs.claim(kind, "me", 1, 100.0)
    found = jobs.apply(job, rules.begin(job, "", 101.0))
    assert found is not None
    return found


def test_a_batch_is_found_as_far_as_it_was_stored(repository: JobRepository) -> None:
    batches = BatchRepository(repository._database)
    job = started(repository, BATCH)
    assert batches.load(job.id) is None
    progress = BatchProgress("plan", "csv", "header", position=10, share=0.5)
    blocks = [StoredBlock(0, 0, 5, "b0"), StoredBlock(1, 5, 4, "b1")]
    assert batches.add_blocks(job, progress, blocks[:1])
    progress.complete = True
    assert batches.add_blocks(job, progress, blocks)  # again, as after a lost connection
    for part in (StoredPart(0, 0, 3, 1, "p0"), StoredPart(0, 3, 5, 0, "p1")):
        assert batches.add_part(job, part) and batches.add_part(job, part)
    found = batches.load(job.id)
    assert found is not None
    assert (found.rows, found.done, found.failed, found.complete) == (9, 5, 1, True)
    assert [block.done for block in found.blocks] == [5, 0]
    assert found.shown() == (5 / 9, "5 of 9 rows, 1 failed")
    assert batches.needed_files() >= {"plan", "header", "b0", "b1", "p0", "p1"}

    late = replace(job, token=job.token - 1)  # a process that another one has replaced
    assert not batches.add_part(late, StoredPart(1, 0, 4, 0, "late"))
    assert not batches.add_blocks(late, progress, blocks)

    again = started(repository, BATCH)
    batches.copy(job.id, again)
    batches.copy(job.id, again)
    copied = batches.load(again.id)
    assert copied is not None and copied.done == 5

    repository._on_outcome = [forget]
    assert repository.apply(job, rules.succeed(job, {"result": "r"}, 102.0)) is not None
    assert batches.load(job.id) is None
    assert repository.apply(again, rules.end_cancelled(103.0)) is not None
    assert batches.load(again.id) is not None  # it may be resumed
    repository.remove(again.id)
    for table in TABLES:
        assert not repository._database.read(lambda c, t=table: c.execute(select(t)).all())


def test_trials_are_added_once_and_counted(repository: JobRepository) -> None:
    trials = TrialRepository(repository._database)
    sweep = started(repository, SWEEP)
    new = [make_job(kind=TRIAL, parent=sweep.id, item=item) for item in range(3)]
    assert trials.add(sweep, new[:2]) and trials.add(sweep, new)
    assert trials.items(sweep.id) == {0, 1, 2}
    assert trials.counts(sweep.id) == {JobState.QUEUED: 3}
    assert [job.item for job in trials.trials(sweep.id)] == [0, 1, 2]
    assert len(trials.unfinished(sweep.id)) == 3
    assert not trials.add(replace(sweep, token=99), [make_job(kind=TRIAL, parent=sweep.id)])
    assert [job.id for job in repository.find()[0]] == [sweep.id]
    assert repository.find(parent=sweep.id)[1] == 3
    (own,) = [repository.add(make_job())]
    claimed = repository.claim("jobs", "me", 4, 200.0)
    assert claimed[0].id == own.id  # trials come after other jobs of their owner
