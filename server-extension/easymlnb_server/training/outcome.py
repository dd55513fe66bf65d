"""Add a version to a model in the transaction that ends the job that trained it."""

import logging

import msgspec
from sqlalchemy import Connection, select

from easymlnb.contract.errors import (
    EasyMLNBError,
    ResultNotEncodable,
    StorageDamaged,
    WorkerLost,
)
from easymlnb.contract.training import DESCRIPTION_FILE, TrainedModel
from easymlnb_server.jobs.models import TRAIN, Job, State, StoredFile
from easymlnb_server.jobs.rules import Change
from easymlnb_server.store.files import Files
from easymlnb_server.store.model_records import MetricPoint, ModelFile, NewVersion
from easymlnb_server.store.model_rows import register_version
from easymlnb_server.store.tables import job_files, job_metrics

log = logging.getLogger("easymlnb.training")

MAX_DESCRIPTION = 4 * 2**20
"""Largest description of a model in bytes."""


class TrainedModels:
    """Registers the models of jobs: no job succeeds without its model, and no other has one."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def check(self, job: Job, saved: list[StoredFile]) -> EasyMLNBError | None:
        """Return why a job cannot succeed with what it has saved; blocks.

        ``WorkerLost`` means that files are missing, because the worker ended too early.
        """
        if job.kind != TRAIN:
            return None
        labels = {file.label: file for file in saved}
        if DESCRIPTION_FILE not in labels:
            return WorkerLost()
        try:
            described = self._read(labels[DESCRIPTION_FILE])
        except (msgspec.MsgspecError, StorageDamaged, ValueError) as error:
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
        if job.kind != TRAIN or job.state is not State.SUCCEEDED:
            return
        row = connection.execute(
            select(job_files).where(
                job_files.c.job == job.id, job_files.c.label == DESCRIPTION_FILE
            )
        ).one()
        stored = StoredFile(row.label, row.file, row.size, row.media_type, row.attempt)
        described = self._read(stored)
        name = model_name(job, described.model)
        number = register_version(
            connection, name, job.author, _version(job, described, _curves(connection, job))
        )
        log.info("The job %s added version %d of the model %s.", job.id, number, name)

    def _read(self, stored: StoredFile) -> TrainedModel:
        if stored.size > MAX_DESCRIPTION:
            raise ValueError(f"it has {stored.size:,} bytes; {MAX_DESCRIPTION:,} are allowed")
        return msgspec.json.decode(self._files.get(stored.file), type=TrainedModel)


def model_name(job: Job, model: str) -> str:
    """Return the name of the model that a job trains: it belongs to the service's owner."""
    owner, slash, _ = job.service.rpartition("/")
    return f"{owner}{slash}{model}"


def _curves(connection: Connection, job: Job) -> tuple[MetricPoint, ...]:
    found = connection.execute(select(job_metrics).where(job_metrics.c.job == job.id))
    return tuple(MetricPoint(row.name, row.step, row.value, row.time) for row in found)


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
        curves=curves,
    )
