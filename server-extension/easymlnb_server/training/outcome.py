"""Add a version to a model when the job that trained it succeeds."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

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
from easymlnb_server.training import repository

if TYPE_CHECKING:
    from sqlalchemy import Connection

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

    def register(self, connection: "Connection", job: Job, change: Change) -> None:
        """Add the version of a job that succeeds; see ``OnOutcome``."""
        if job.kind != TRAIN or job.state is not State.SUCCEEDED:
            return
        described = self._read(repository.description_file(connection, job.id))
        name, number = repository.add_version(connection, job, described)
        log.info("The job %s added version %d of the model %s.", job.id, number, name)

    def _read(self, file: str) -> TrainedModel:
        return msgspec.json.decode(self._files().get(file), type=TrainedModel)
