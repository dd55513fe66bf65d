"""Train and predict for the client of the MLaaS paper."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from easymlnb.contract.errors import BadRequest, Busy, JobNotFound, NotTrained
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.identity.access import SINGLE_USER, owner_key
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.jobs.models import Job, JobState
from easymlnb_server.model_templates import calling, rules
from easymlnb_server.model_templates.manager import Author, Data, ModelTemplates
from easymlnb_server.model_templates.mlaas.limits import MAX_ROWS, TrainingLimiter
from easymlnb_server.model_templates.models import TemplateModelChange
from easymlnb_server.store.model_records import ModelOverview
from easymlnb_server.uploads.spool import Spool

TARGET = "y"
FEWEST = 10
"""Rows that a training needs; the rows of smaller data are repeated."""

ALGORITHMS = {"linear", "forest", "boosting", "baseline", "compare"}


class MlaasTraining:
    """Trains models from rows in a request, and predicts with their latest version."""

    def __init__(
        self, templates: ModelTemplates, invoker: Invoker, jobs: Jobs, spool: Spool
    ) -> None:
        self._templates = templates
        self._invoker = invoker
        self._jobs = jobs
        self._spool = spool
        self._limiter = TrainingLimiter()

    async def train(self, name: str, body: Any, *, visitor: bool) -> Job:
        """Start a training of a model; raises ``BadRequest`` or ``Busy``."""
        found, config = await self._templates.get(name)
        rows, outputs = rules.rows_of(body)
        table = table_of(rows, outputs)
        if visitor:
            if len(table) > MAX_ROWS:
                raise BadRequest(f"The data has {len(table):,} rows; {MAX_ROWS:,} are allowed.")
            if config.job and not await self._has_ended(config.job):
                raise Busy(1, 5.0)
            self._limiter.start(name)
        file = self._spool.create_on_disk()
        file.write(msgspec.json.encode(repeated(table)))
        file.make_read_only()
        file.close_descriptor()
        asked = body.get("algorithm", "") if isinstance(body, dict) else ""
        algorithm: Any = asked if asked in ALGORITHMS else UNSET
        numbers = all(isinstance(row[TARGET], int | float) for row in table)
        change = TemplateModelChange(
            data="rows",
            target=TARGET,
            algorithm=algorithm,
            question="regression" if numbers else "classification",
            columns={},
            time="-",
        )
        author = self._author(found)
        data = Data(file, "rows.json")
        job = await self._templates.change(author, name, change, data)
        assert job is not None
        return job

    async def state(self, name: str, id: str) -> JobState | None:
        """Return the state of a training of a model; ``None`` if there is no such training."""
        found, _ = await self._templates.get(name)
        try:
            job = await self._jobs.get(id, self._author(found).jobs)
        except JobNotFound:
            return None
        train = self._templates.train_service(found.model)
        return job.state if job.service == train else None

    async def predict(self, name: str, body: Any) -> list[Any]:
        """Return predictions of the latest version; raises ``NotTrained``."""
        found, config = await self._templates.get(name)
        rows, _ = rules.rows_of(body)
        await self._check_trained(found, config.job)
        inputs = [named(row, "") for row in rows]
        made = await self._templates.predict(name, inputs, found.latest or 0)
        predictions: list[Any] = made["predictions"]
        return predictions

    async def _check_trained(self, found: ModelOverview, job: str) -> None:
        if job:
            try:
                last = await self._jobs.get(job, None)
            except JobNotFound:
                last = None
            if last is not None and last.state in (JobState.FAILED, JobState.CANCELLED):
                why = (last.error or {}).get("message", "It was canceled.")
                raise NotTrained(f"The training failed: {why}")
        if found.latest is None:
            raise NotTrained("The model is not trained yet. Send data to 'train' first.")

    async def _has_ended(self, job: str) -> bool:
        try:
            return (await self._jobs.get(job, None)).state.ended
        except JobNotFound:
            return True

    def _author(self, found: ModelOverview) -> Author:
        owner = found.model.owner
        jobs = owner_key(owner) if self._invoker.services.shared else SINGLE_USER
        return Author(owner, calling.author(self._invoker, owner), jobs)


def table_of(rows: Sequence[list[Any]], outputs: Sequence[Any]) -> list[dict[str, Any]]:
    """Return rows with their outputs as a table; without outputs, the last value is the output."""
    if not rows:
        raise BadRequest("The data has no rows.")
    if not outputs:
        if any(len(row) < 2 for row in rows):
            raise BadRequest("Each row must have inputs, and the output as its last value.")
        return [named(row[:-1], row[-1]) for row in rows]
    return [named(row, output) for row, output in zip(rows, outputs, strict=True)]


def named(row: Sequence[Any], output: Any) -> dict[str, Any]:
    """Return a row as an object: inputs are ``x1``, ``x2``, ..."""
    made = {f"x{number}": value for number, value in enumerate(row, 1)}
    return made if output == "" else {**made, TARGET: output}


def repeated(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a table with enough rows: examples of the paper's kind have only a few."""
    times = -(-FEWEST // len(table)) + (len(table) < FEWEST)
    return table if len(table) >= FEWEST else table * times
