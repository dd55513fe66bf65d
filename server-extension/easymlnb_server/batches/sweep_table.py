"""The table of a sweep: a row for each trial, with its parameters and its result or error."""

import csv
import io
import json
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from easymlnb_server.batches.points import Sweep
from easymlnb_server.jobs.models import Job, JobState

MAX_RESULT = 64 * 1024
"""Bytes of a result that is shown in the table."""

JSON = "application/json"


class TrialShown(msgspec.Struct, kw_only=True):
    """A trial of a sweep."""

    item: Annotated[int, Meta(description="Counts from 1.")]
    parameters: dict[str, Any]
    state: str
    result: Annotated[Any, Meta(description="`null` if it is large or a file.")]
    error: dict[str, Any] | None
    seconds: float | None
    job: str


class SweepTable(msgspec.Struct, kw_only=True):
    """The trials of a sweep in their order."""

    parameters: list[str]
    trials: list[TrialShown]


def make(sweep: Sweep, trials: list[Job], read: Callable[[str], bytes]) -> SweepTable:
    """Return the table; ``read`` returns a stored file."""
    return SweepTable(
        parameters=sweep.parameters, trials=[_trial(sweep, one, read) for one in trials]
    )


def _trial(sweep: Sweep, job: Job, read: Callable[[str], bytes]) -> TrialShown:
    assert job.item is not None
    took = None if job.began is None or job.ended is None else job.ended - job.began
    return TrialShown(
        item=job.item + 1,
        parameters=sweep.points[job.item],
        state=job.state.shown,
        result=_result(job, read),
        error=job.error,
        seconds=took,
        job=job.id,
    )


def _result(job: Job, read: Callable[[str], bytes]) -> Any:
    if job.result is None or job.result_type.partition(";")[0] != JSON:
        return None
    data = read(job.result)
    return msgspec.json.decode(data) if len(data) <= MAX_RESULT else None


def as_csv(table: SweepTable) -> bytes:
    """Return the table as CSV, with a column for each field of the results."""
    fields = list(
        dict.fromkeys(
            name for one in table.trials if isinstance(one.result, dict) for name in one.result
        )
    )
    results = [name if name not in table.parameters else f"result_{name}" for name in fields]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["trial", *table.parameters, "state", *(results or ["result"]), "error", "seconds", "job"]
    )
    for one in table.trials:
        given = [_cell(one.parameters.get(name)) for name in table.parameters]
        found = one.result if isinstance(one.result, dict) else {}
        cells = [_cell(found.get(name)) for name in fields] or [_cell(one.result)]
        message = one.error["message"] if one.error else ""
        writer.writerow([one.item, *given, one.state, *cells, message, _cell(one.seconds), one.job])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    return json.dumps(value)


def failed(trials: list[Job]) -> Job | None:
    """Return the first trial if all have failed."""
    if trials and all(one.state is JobState.FAILED for one in trials):
        return trials[0]
    return None
