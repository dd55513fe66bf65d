"""What a running job sends, and what of it is stored."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from easymlnb.contract.job_protocol import JobMetric
from easymlnb_server.jobs import rules
from easymlnb_server.jobs.logs import JobLogs
from easymlnb_server.jobs.models import JobState
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.jobs.run import JobRun

from .test_rules import make_job


async def test_a_diverged_training_stores_its_other_metrics(
    repository: JobRepository, tmp_path: Path
) -> None:
    told: list[float] = []
    job = repository.add(rules.promoted(make_job(state=JobState.QUEUED), "h", "w"))
    parts: Any = SimpleNamespace(
        repository=repository, logs=JobLogs(tmp_path), files=None, spool=None,
        events=SimpleNamespace(publish=lambda id, kind, data: told.append(data["value"])),
    )  # fmt: skip
    run = JobRun(job, parts, 5.0)
    for step, value in enumerate([1.0, float("inf"), float("nan"), 0.5]):
        run._on_message(JobMetric(id=1, name="loss", step=step, value=value), b"")
    run._on_message(JobMetric(id=1, name="loss", step=2**63, value=1.0), b"")
    await run._save()
    stored = [(one.step, one.value) for one in repository.metrics(job.id)]
    assert stored == [(0, 1.0), (3, 0.5)] and told == [1.0, 0.5]
