"""Add a version to a model in the transaction that ends the job that trained it."""

import logging
from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, select

from easymlnb.contract.errors import (
    EasyMLNBError,
    ResultNotEncodable,
    StorageDamaged,
    WorkerLost,
)
from easymlnb.contract.training import DESCRIPTION_FILE, TrainedModel
from easymlnb_server.jobs.models import TRAIN, Job, JobState, StoredFile
from easymlnb_server.jobs.rules import Change
from easymlnb_server.store.files import Files
from easymlnb_server.store.model_records import MetricPoint, ModelFile, NewVersion
from easymlnb_server.store.model_rows import register_version
from easymlnb_server.store.tables import job_files, job_metrics

log = logging.getLogger("easymlnb.training")

MAX_DESCRIPTION = 4 * 2**20
"""Largest description of a model in bytes."""


class TrainedModels:
    """Registers the models of jobs: no job succeeds without its model, and no other has one.

    ``files`` returns the open storage.
    """

    def __init__(self, files: Callable[[], Files]) -> None:
        self._files = files

    def check(self, job: Job, saved: list[StoredFile]) -> EasyMLNBError | None:
        """Return why a job cannot succeed with what it has saved; blocks.

        ``WorkerLost`` means that files are missing, because the worker ended too early.
        """
        if job.kind != TRAIN:
            return None
        labels = {file.label: file for file in saved}
        description = labels.get(DESCRIPTION_FILE)
        if description is None:
            return WorkerLost()
        if description.size > MAX_DESCRIPTION:
            return ResultNotEncodable(
                f"The description of the model has {description.size:,} bytes; at most "
                f"{MAX_DESCRIPTION:,} are allowed. Shorten its params, tags or note."
            )
        try:
            described = self._read(description.file)
        except (msgspec.MsgspecError, StorageDamaged) as error:
            return ResultNotEncodable(f"The description of the model is invalid: {error}.")
        for file in described.files:
            stored = labels.get(file.label)
            if stored is None:
                return WorkerLost()
            if (stored.file, stored.size) != (file.sha256, file.size):
                return ResultNotEncodable(
                    f"The file {file.path!r} of the model is not the one that was described."
                )
        return None

    def register(self, connection: Connection, job: Job, change: Change) -> None:
        """Add the version of a job that succeeds; see ``OnOutcome``."""
        if job.kind != TRAIN or job.state is not JobState.SUCCEEDED:
            return
        described = self._read(_description_file(connection, job.id))
        name, number = _add_version(connection, job, described)
        log.info("The job %s added version %d of the model %s.", job.id, number, name)

    def _read(self, file: str) -> TrainedModel:
        return msgspec.json.decode(self._files().get(file), type=TrainedModel)


def _description_file(connection: Connection, job: str) -> str:
    """Return the stored file with the description of the model that a job has trained."""
    query = select(job_files.c.file).where(
        job_files.c.job == job, job_files.c.label == DESCRIPTION_FILE
    )
    return str(connection.execute(query).scalar_one())


def _add_version(connection: Connection, job: Job, described: TrainedModel) -> tuple[str, int]:
    """Add a version to the model that a job has trained; return its name and number."""
    found = connection.execute(select(job_metrics).where(job_metrics.c.job == job.id))
    curves = tuple(MetricPoint(row.name, row.step, row.value, row.time) for row in found)
    name = model_name(job.service, described.model)
    return name, register_version(connection, name, job.author, _version(job, described, curves))


def model_name(service: str, model: str) -> str:
    """Return the name of a model that a service trains; both have the same owner."""
    owner, slash, _ = service.rpartition("/")
    return f"{owner}{slash}{model}"


def _version(job: Job, described: TrainedModel, curves: tuple[MetricPoint, ...]) -> NewVersion:
    return NewVersion(
        key=job.id,
        author=job.author,
        origin="job",
        job=job.id,
        format=described.format,
        flavor=described.flavor,
        files=tuple(ModelFile(file.path, file.sha256, file.size) for file in described.files),
        signature=described.signature,
        metrics=described.metrics,
        params=described.params,
        tags=described.tags,
        lineage={
            "job": job.id,
            "service": job.service,
            "version": job.version,
            "bundle": job.bundle,
            "user": job.options.user,
            "data": list(described.data),
        },
        note=described.note,
        trusted=True,  # the model's owner has published the training
        curves=curves,
    )
