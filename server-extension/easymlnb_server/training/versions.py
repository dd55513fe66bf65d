"""The versions of models that jobs have made."""

import asyncio
import logging

from easymlnb.contract.errors import BadRequest, EasyMLNBError
from easymlnb.contract.training import PRODUCTION
from easymlnb_server.identity.access import Action, Caller
from easymlnb_server.jobs.models import TRAIN, Job, JobModelShown, JobState
from easymlnb_server.model_registry.manager import ModelRegistry
from easymlnb_server.model_registry.models import AliasChange

log = logging.getLogger("easymlnb.training")


async def version_of(
    models: ModelRegistry, job: Job, caller: Caller | None
) -> JobModelShown | None:
    """Return the version that a job has made, for a caller; ``None`` if there is none."""
    if job.kind != TRAIN or job.state is not JobState.SUCCEEDED:
        return None
    made = await asyncio.to_thread(models.rows.of_job, job.id)
    if not made:
        return None  # deleted since
    name, number = made[0]
    version = await asyncio.to_thread(models.rows.version, name, str(number))
    found = await asyncio.to_thread(models.rows.get, name)
    main = str(version.flavor.get("main", ""))
    return JobModelShown(
        name=name,
        version=number,
        file=f"model/{main}" if main else "",
        may_use=models.allows(caller, found.model, Action.MANAGE),
        used=found.aliases.get(PRODUCTION) == number,
    )


async def announce(models: ModelRegistry, job: Job) -> None:
    """Let workers that use the latest version load the one that a job has made; see ``OnEnded``."""
    if job.kind != TRAIN or job.state is not JobState.SUCCEEDED:
        return
    try:
        for name, _ in await asyncio.to_thread(models.rows.of_job, job.id):
            await models.moved(name)
    except EasyMLNBError as error:
        log.warning("Workers do not know the model of the job %s: %s", job.id, error.message)


async def put_in_production(
    models: ModelRegistry, job: Job, caller: Caller | None
) -> JobModelShown:
    """Let the alias ``production`` name the version that a job has made.

    Raises ``BadRequest`` if there is none, ``ModelNotFound`` for those who may not.
    """
    made = await version_of(models, job, caller)
    if made is None:
        raise BadRequest("The job has made no model, or its version was deleted.")
    await models.find(made.name, caller, Action.MANAGE)
    by = caller.name if caller is not None else ""
    await models.set_alias(made.name, PRODUCTION, AliasChange(version=made.version), by)
    made.used = True
    return made


async def shown_version(
    models: ModelRegistry, job: Job, caller: Caller | None
) -> JobModelShown | None:
    """Return the version that a job has made; ``None`` also if it cannot be read now."""
    try:
        return await version_of(models, job, caller)
    except EasyMLNBError:
        return None
