"""Which stored files the rows of capabilities need, in a server and in ``easymlnb gc``."""

from functools import partial

from easymlnb_server.batches.repository import BatchRepository
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.model_templates.models import TemplateConfig
from easymlnb_server.schedules.repository import ScheduleRepository
from easymlnb_server.store.store import Store


def register(store: Store) -> None:
    """Let a store keep the files of jobs, batches, schedules and models without code."""
    store.more_files += (
        JobRepository(store.database).needed_files,
        BatchRepository(store.database).needed_files,
        ScheduleRepository(store.database).needed_files,
        partial(_files_of_templates, store),
    )


def _files_of_templates(store: Store) -> set[str]:
    configs = (TemplateConfig.read(one.model.config) for one in store.models.all())
    return {file for config in configs for file in config.files}
