"""A retry is a new job with the old input; what did not succeed continues from its checkpoint."""

from types import SimpleNamespace
from typing import Any

import pytest

from easymlnb_server.identity.access import Caller
from easymlnb_server.jobs.lanes import Lane
from easymlnb_server.jobs.models import Job, JobInput, JobState, new_id
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.jobs.submission import JobFactory


def factory(bundle: str) -> JobFactory:
    """Make jobs of a service whose only version has this bundle."""
    service = SimpleNamespace(
        versions={1: SimpleNamespace(bundle=bundle)}, sleeping={}, owner="bob"
    )
    target = SimpleNamespace(name="roll", version="1")
    invoker: Any = SimpleNamespace(find=lambda name, caller: target)
    published: Any = SimpleNamespace(get=lambda name: service)
    return JobFactory(invoker, published, {"jobs": Lane()}, 60.0, lambda *place: None)


@pytest.mark.parametrize(
    ("state", "bundle", "continues"),
    [
        (JobState.CANCELLED, "same", True),
        (JobState.FAILED, "same", True),
        (JobState.SUCCEEDED, "same", False),
        (JobState.CANCELLED, "other", False),
    ],
)
def test_what_did_not_succeed_continues(
    repository: JobRepository, state: JobState, bundle: str, continues: bool
) -> None:
    old = Job(
        id=new_id(),
        owner="ann",
        service="roll",
        version="1",
        bundle="same",
        author="bob",
        lane="jobs",
        input=JobInput(file="f"),
        state=state,
        checkpoint="newest",
        former_checkpoint="former",
    )
    again = factory(bundle).again(old, Caller("ann"))
    assert (again.retry_of, again.state) == (old.id, JobState.QUEUED)
    stored = repository.get(repository.add(again).id)
    kept = (stored.checkpoint, stored.former_checkpoint)
    assert kept == (("newest", "former") if continues else (None, None))
