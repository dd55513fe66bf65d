"""Models without code: make them from data, train them again, predict with them, remove them."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from easymlnb.contract.errors import (
    BadRequest,
    EasyMLNBError,
    JobEnded,
    JobNotFound,
    ModelNotFound,
    NotTrained,
)
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.identity import names as naming
from easymlnb_server.identity.access import Caller
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.jobs.models import Job, JobState
from easymlnb_server.jobs.submission import Submission
from easymlnb_server.model_templates import calling, rules
from easymlnb_server.model_templates.bundles import PREFIX, Template, template_named
from easymlnb_server.model_templates.exposing import Exposing
from easymlnb_server.model_templates.hosting import TemplateHosts
from easymlnb_server.model_templates.models import (
    Choices,
    DataFile,
    NewTemplateModel,
    TemplateConfig,
    TemplateModelChange,
)
from easymlnb_server.store.model_records import ModelOverview, ModelRow
from easymlnb_server.store.store import Store
from easymlnb_server.uploads.spool import Spool, SpooledFile

log = logging.getLogger("easymlnb.templates")


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a model: the owner of models and services, and the key of the owner's jobs."""

    name: str
    caller: Caller
    jobs: str


@dataclass(frozen=True, slots=True)
class Data:
    """Data that was sent, and the name of its file."""

    file: SpooledFile
    name: str


class ModelTemplates:
    """All models without code of a server."""

    def __init__(
        self,
        hosts: TemplateHosts,
        invoker: Invoker,
        jobs: Jobs,
        spool: Spool,
        exposing: Exposing,
        store: Callable[[], Store],
    ) -> None:
        self.hosts = hosts
        self._invoker = invoker
        self._jobs = jobs
        self._spool = spool
        self._exposing = exposing
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()

    async def look(
        self, author: Author, template: Template, data: Data, choices: Choices
    ) -> dict[str, Any]:
        """Describe data; raises what the template says about it."""
        await self._ensure(template, author.name)
        body = calling.body_of({"config": choices.options()}, data.file, data.name)
        found: dict[str, Any] = await self._call(author.name, template.look, body)
        return found

    async def get(self, name: str) -> tuple[ModelOverview, TemplateConfig]:
        """Return a model without code and its configuration; raises ``ModelNotFound``."""
        found = await asyncio.to_thread(self._store().models.get, name)
        if not found.model.template:
            raise ModelNotFound(name)
        return found, TemplateConfig.read(found.model.config)

    async def data_of(self, found: tuple[ModelOverview, TemplateConfig]) -> Data | None:
        """Return the data that a model was trained with last; ``None`` if it has none."""
        kept = found[1].data
        return None if kept is None else Data(await self._spooled(kept), kept.name)

    def train_service(self, model: ModelRow) -> str:
        """Return the full name of the service that trains a model."""
        template = template_named(model.template or "")
        return self.hosts.full_name(model.owner, template.train)

    async def all(self) -> list[ModelOverview]:
        """Return all models without code by name."""
        found = await asyncio.to_thread(self._store().models.all)
        return [one for one in found if one.model.template]

    async def create(
        self, author: Author, request: NewTemplateModel, data: Data | None
    ) -> tuple[str, Job | None]:
        """Make a model, and train its first version if there is data; return its full name.

        Raises ``BadRequest``, ``NameTaken``, or why the template could not start.
        """
        template = template_named(request.template)
        name = self.hosts.full_name(author.name, rules.check_name(request.name))
        if self._invoker.services.is_published(name):
            raise BadRequest(f"A service is named {request.name!r}. Choose another name.")
        await self._ensure(template, author.name)
        kept = None if data is None else await self._keep(data)
        config = TemplateConfig(options=request.options(), data=kept)
        row = ModelRow(
            name=name,
            owner=author.name,
            title=request.title,
            template=template.name,
            config=config.to_dict(),
        )
        await asyncio.to_thread(self._store().models.create, row)
        if data is None:
            return name, None
        try:
            return name, await self._train(author, template, name, config, data.file)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._store().models.remove, name))
            raise

    async def change(
        self, author: Author, name: str, change: TemplateModelChange, data: Data | None
    ) -> Job | None:
        """Change a model; other data or choices train a new version."""
        found, config = await self.get(name)
        template = template_named(found.model.template or "")
        owner = found.model.owner
        author = Author(owner, calling.author(self._invoker, owner), author.jobs)
        if change.public_training is not UNSET:
            config = msgspec.structs.replace(config, public_training=change.public_training)
        if change.exposed is not UNSET:
            await self._ensure(template, owner)
            await self._expose(found, template, change.exposed)
            config = msgspec.structs.replace(config, exposed=change.exposed)
        if not rules.trains(change):
            await self._set_config(name, config)
            return None
        options = rules.changed_options(config.options, change)
        kept = config.data if data is None else await self._keep(data)
        if kept is None:
            raise BadRequest("The model has no data yet. Send the id of an upload as 'data'.")
        await self._ensure(template, owner)
        file = data.file if data is not None else await self._spooled(kept)
        config = rules.with_choices(config, options, kept)
        return await self._train(author, template, name, config, file)

    async def predict(self, name: str, rows: list[Any], version: int = 0) -> dict[str, Any]:
        """Predict rows with a model; raises what the template says about them."""
        found, _ = await self.get(name)
        template = template_named(found.model.template or "")
        number = version or rules.predicting(found.aliases, found.latest)
        if number is None or number not in found.numbers:
            raise self._untrained(found, version)
        owner = found.model.owner
        await self._ensure(template, owner)
        body = calling.body_of({"model": name, "version": number, "data": rows})
        made: dict[str, Any] = await self._call(owner, template.predict, body)
        return made

    async def withdraw(self, name: str) -> None:
        """End the service of a model and its training, before it is deleted."""
        _, config = await self.get(name)
        if config.exposed:
            await self._exposing.withdraw(name)
        if config.job:
            with contextlib.suppress(JobEnded, JobNotFound):
                await self._jobs.cancel(config.job, None)

    async def _ensure(self, template: Template, owner: str) -> None:
        """Publish a template for an author, and move the services of models to a new one."""
        if not await self.hosts.ensure(template, owner):
            return
        for found in await self.all():
            model = found.model
            if (model.owner, model.template) == (owner, template.name) and TemplateConfig.read(
                model.config
            ).exposed:
                await self._expose(found, template, True)

    async def on_ended(self, job: Job) -> None:
        """Note how the training of a model has ended, and let its service have the new inputs."""
        if not naming.short_name(job.service).startswith(PREFIX):
            return
        succeeded = job.state is JobState.SUCCEEDED
        try:
            for found in await self.all():
                config = TemplateConfig.read(found.model.config)
                if config.job == job.id:
                    await self._set_config(
                        found.model.name, rules.after_training(config, succeeded=succeeded)
                    )
                    self.follow(found.model.name)
        except EasyMLNBError as error:
            log.warning("The end of the training %s is not noted: %s", job.id, error)

    def follow(self, name: str) -> None:
        """Describe the service of a model again, as another version may predict now."""
        task = asyncio.create_task(self._follow(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, name: str) -> None:
        try:
            found, config = await self.get(name)
            if config.exposed:
                await self._expose(found, template_named(found.model.template or ""), True)
        except EasyMLNBError as error:
            log.warning("The service of the model %s is not described again: %s", name, error)

    def _untrained(self, found: ModelOverview, version: int) -> EasyMLNBError:
        name = naming.short_name(found.model.name)
        if version:
            listed = ", ".join(map(str, found.numbers)) or "none"
            return BadRequest(f"{name!r} has no version {version}. Versions: {listed}.")
        return NotTrained(f"The model {name!r} is not trained yet. Follow its job, or train it.")

    async def _train(
        self,
        author: Author,
        template: Template,
        name: str,
        config: TemplateConfig,
        file: SpooledFile,
    ) -> Job:
        """Submit a training, and note it in the model's configuration."""
        arguments = {"model": naming.short_name(name), "config": config.options}
        file_name = config.data.name if config.data is not None else ""
        submission = Submission(
            service=self.hosts.full_name(author.name, template.train),
            caller=author.caller,
            owner=author.jobs,
            body=calling.body_of(arguments, file, file_name),
            content_type=calling.JSON,
        )
        job = await self._jobs.submit(submission)
        await self._set_config(name, msgspec.structs.replace(config, job=job.id))
        return job

    async def _expose(self, found: ModelOverview, template: Template, on: bool) -> None:
        name, owner = found.model.name, found.model.owner
        if not on:
            await self._exposing.withdraw(name)
            return
        number = rules.predicting(found.aliases, found.latest)
        if number is None:
            raise self._untrained(found, 0)
        arguments = {"model": naming.short_name(name), "version": number}
        spec = await self._call(owner, template.describe, calling.body_of(arguments))
        bundle = self.hosts.bundle(template, owner)
        await self._exposing.expose(name, owner, bundle, template.name, spec)

    async def _call(self, owner: str, service: str, body: Body) -> Any:
        return await calling.call(self._invoker, self.hosts.full_name(owner, service), owner, body)

    async def _keep(self, data: Data) -> DataFile:
        return await asyncio.to_thread(calling.keep, self._store().files, data.file, data.name)

    async def _spooled(self, data: DataFile) -> SpooledFile:
        return await asyncio.to_thread(calling.spooled, self._store().files, self._spool, data)

    async def _set_config(self, name: str, config: TemplateConfig) -> None:
        changes = {"config": config.to_dict()}
        await asyncio.to_thread(self._store().models.change, name, changes)
