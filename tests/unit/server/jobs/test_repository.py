"""The rows of jobs, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, Select, text

from easymlnb.contract.errors import IdempotencyKeyConflict, JobNotFound, VersionInUse
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.models import Job, JobState, MetricValue, StoredFile, new_id
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.jobs.rows import claimable, unfinished_versions
from easymlnb_server.store.store import Store
from support.fakes import spec

from .test_rules import BOOM, make_job


def add(repository: JobRepository, count: int = 1, **values: Any) -> list[Job]:
    low = values.pop("low_priority", False)
    return [repository.add(make_job(**values), low_priority=low) for _ in range(count)]


def claim(repository: JobRepository, count: int = 1, holder: str = "me") -> list[Job]:
    return repository.claim("jobs", holder, count, 100.0)


def test_a_row_comes_back_as_it_was(repository: JobRepository) -> None:
    (job,) = add(repository, created=5.0, accept="text/csv")
    assert repository.get(job.id) == job
    assert [event.data for event in repository.events(job.id)] == [{"state": "queued"}]
    with pytest.raises(JobNotFound):
        repository.get(new_id())


def test_owners_take_turns_and_batches_come_last(repository: JobRepository) -> None:
    add(repository, 3, owner="batch", low_priority=True)
    add(repository, 6, owner="ann")
    add(repository, 2, owner="bob")
    order = [claim(repository)[0].owner for _ in range(11)]
    assert order[:4] in (["ann", "bob"] * 2, ["bob", "ann"] * 2)
    assert order[4:] == ["ann"] * 4 + ["batch"] * 3
    # Who comes later does not wait for all that an owner has submitted before.
    add(repository, 5, owner="ann")
    assert claim(repository)[0].owner == "ann"
    add(repository, 1, owner="eve")
    assert "eve" in [claim(repository)[0].owner for _ in range(2)]


def test_versions_of_unfinished_jobs_are_not_deleted(
    repository: JobRepository, store: Store
) -> None:
    for number in (1, 2, 3):
        store.bundles.add(f"b{number}", owner="ann", manifest={}, file="f" * 64)
        store.services.publish(f"b{number}", [spec()], owner="ann", stage=number > 1)
    store.traffic.referrers.append(unfinished_versions)
    add(repository, 1, version="1")
    first, second = add(repository, 2, version="2")
    with pytest.raises(VersionInUse, match="2 unfinished jobs"):
        store.traffic.delete_version("f", 2)
    repository.change(first.id, lambda held: rules.cancel(held, 1.0))
    assert store.traffic.prune(1) == []
    repository.change(second.id, lambda held: rules.cancel(held, 1.0))
    (left,) = store.traffic.prune(1)
    assert left.numbers == {1, 3}


def test_claims_never_share_a_job(repository: JobRepository) -> None:
    add(repository, 20)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: claim(repository, 3, f"p{n}"), range(8)))
    ids = [job.id for claimed in found for job in claimed]
    assert len(ids) == len(set(ids)) == 20
    assert all(len(claimed) <= 3 for claimed in found)


def test_claims_skip_owners_and_jobs_whose_time_has_not_come(repository: JobRepository) -> None:
    add(repository, owner="ann")
    add(repository, owner="bob", not_before=200.0)
    assert repository.claim("jobs", "me", 5, 100.0, skip=["ann"]) == []
    assert [job.owner for job in repository.claim("jobs", "me", 5, 300.0)] == ["ann", "bob"]


def explain(query: Select[Any], connection: Connection) -> str:
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite:  # a small table is read in any order
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_bitmapscan = off"))
    sql = str(query.compile(connection.engine, compile_kwargs={"literal_binds": True}))
    head = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
    return str(connection.execute(text(head + sql)).all())


@pytest.mark.parametrize("skip", [(), ("ann",)])
def test_the_query_of_a_claim_does_not_sort(store: Store, skip: tuple[str, ...]) -> None:
    plan = store.database.read(partial(explain, claimable("jobs", 5, 100.0, skip)))
    assert "ix_jobs_rank" in plan
    assert "Sort" not in plan and "TEMP B-TREE" not in plan


def test_a_key_means_the_same_job_again(repository: JobRepository) -> None:
    (first,) = add(repository, key="k", fingerprint="x")
    (again,) = add(repository, key="k", fingerprint="x")
    assert again.id == first.id
    (other,) = add(repository, key="k", fingerprint="y", owner="bob")
    assert other.id != first.id
    with pytest.raises(IdempotencyKeyConflict):
        add(repository, key="k", fingerprint="y")
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(add, repository, key="new") for _ in range(8)]
    assert len({future.result()[0].id for future in made}) == 1


def test_a_late_write_of_an_earlier_holder_is_refused(repository: JobRepository) -> None:
    add(repository)
    (old,) = claim(repository)
    old = repository.apply(old, rules.begin(old, "w", 101.0)) or old
    (adopted,) = repository.adopt("other", 102.0)
    assert adopted.attempt == old.attempt and adopted.state is JobState.RUNNING
    assert repository.apply(old, rules.succeed(old, {"result": "old"}, 103.0)) is None
    assert not repository.save_file(old, StoredFile("a", "f", 1, "text/plain", 1))
    assert not repository.save_checkpoint(old, "c", 103.0)
    repository.save_progress(old, 0.9, "late")
    assert repository.get(old.id).progress == 0.0
    done = repository.apply(adopted, rules.succeed(adopted, {"result": "new"}, 104.0))
    assert done is not None and done.result == "new"
    # The same write once more, after a connection was lost before its confirmation.
    assert repository.apply(adopted, rules.succeed(adopted, {"result": "new"}, 104.0)) == done
    assert repository.apply(adopted, rules.lose(adopted, 105.0)) is None
    assert [attempt.outcome for attempt in repository.attempts(old.id)] == ["succeeded"]
    states = [event.data["state"] for event in repository.events(old.id)]
    assert states == ["queued", "running", "succeeded"]


def test_two_checkpoints_stay_and_preemptions_in_vain_are_counted(
    repository: JobRepository,
) -> None:
    (job,) = add(repository)
    seen = []
    for number in range(1, 5):
        (job,) = claim(repository)
        job = repository.apply(job, rules.begin(job, "w", 101.0)) or job
        if number in (1, 2):
            for file in (f"a{number}", f"a{number}", f"b{number}"):
                assert repository.save_checkpoint(job, file, 102.0)
        in_vain = repository.preempted_in_vain(job.id)
        seen.append(in_vain)
        # As far as this test goes, nobody waits for the next start.
        change = rules.preempt(job, in_vain, 0.0)
        change.values["not_before"] = 0.0
        job = repository.apply(job, change) or job
    assert seen == [0, 0, 0, 1]
    found = repository.get(job.id)
    assert (found.checkpoint, found.former_checkpoint) == ("b2", "a2")
    assert {"b2", "a2"} <= repository.needed_files()
    assert (found.raised, found.lost, found.attempt) == (0, 0, 4)
    kinds = [event.kind for event in repository.events(job.id)]
    assert kinds.count("checkpoint") == 4


def test_a_start_without_a_node_is_no_attempt(repository: JobRepository) -> None:
    add(repository)
    for _ in range(3):
        (job,) = claim(repository)
        assert job.attempt == 1
        job = repository.apply(job, rules.put_back(job, "No node.", 50.0)) or job
        assert (job.attempt, job.reason, repository.attempts(job.id)) == (0, "No node.", [])
    (job,) = claim(repository)
    assert [one.number for one in repository.attempts(job.id)] == [1]
    states = [event.data for event in repository.events(job.id)]
    assert states == [{"state": "queued"}, *[{"state": "queued", "attempt": 0}] * 3]


def test_a_cancellation_beats_another_attempt(repository: JobRepository) -> None:
    add(repository, attempts=3)
    (job,) = claim(repository)
    job = repository.apply(job, rules.begin(job, "w", 101.0)) or job
    job = repository.change(job.id, lambda row: rules.cancel(row, 102.0))
    assert (job.state, job.cancel) == (JobState.RUNNING, True)
    ended = repository.apply(job, rules.fail(job, BOOM, 103.0))
    assert ended is not None and ended.state is JobState.CANCELLED
    assert claim(repository) == []


def test_files_metrics_and_lists(repository: JobRepository, store: Store) -> None:
    first, second = add(repository, 2, created=1.0)
    add(repository, owner="bob")
    (job,) = claim(repository)
    file = StoredFile("model.bin", "f" * 64, 3, "text/plain", 1)
    assert repository.save_file(job, file) and repository.save_file(job, file)
    assert repository.files(job.id) == [file]
    values = [MetricValue("loss", step, 1.0 - step, 1.0) for step in range(2)]
    repository.save_metrics(job, values)
    repository.save_metrics(job, values[1:])
    assert repository.metrics(job.id) == values
    found, total = repository.find(owner="user ann", limit=1)
    assert total == 2 and len(found) == 1
    rest, _ = repository.find(owner="user ann", start=min(first.id, second.id))
    assert {one.id for one in (*found, *rest)} == {first.id, second.id}
    assert len(repository.find(owner=None)[0]) == 3
    assert repository.find(owner=None, states=[JobState.QUEUED])[1] == 2
    assert repository.needed_files() == {"f" * 64, "0" * 64}
    assert repository.position(found[0]) in (1, 2)


def test_jobs_are_removed_when_they_expire(repository: JobRepository) -> None:
    kept, gone = add(repository, 2)
    for job in claim(repository, 2):
        change = rules.fail(job, BOOM, 101.0)
        expires = 200.0 if job.id == gone.id else 1e9
        repository.apply(job, rules.Change({**change.values, "expires": expires}, change.outcome))
    assert repository.remove_expired(300.0) == 1
    assert repository.get(kept.id).state is JobState.FAILED
    with pytest.raises(JobNotFound):
        repository.get(gone.id)


def test_the_sweep_keeps_what_jobs_need(repository: JobRepository, store: Store) -> None:
    needed, other = store.files.put(b"input"), store.files.put(b"other")
    (job,) = add(repository)
    job = replace(job, id=new_id(), input=replace(job.input, file=needed))
    repository.add(job)
    store.more_files.append(repository.needed_files)
    assert store.sweep(older=-10) == 1
    assert store.files.names() == [needed] != [other]
