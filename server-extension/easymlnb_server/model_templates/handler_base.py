"""The base of the routes of models without code: who makes them, and their data."""

from easymlnb.contract.errors import ModelNotFound, NotLoggedIn, UploadNotFound
from easymlnb.contract.names import quoted
from easymlnb_server.identity.access import Action
from easymlnb_server.jobs.handlers import job_owner
from easymlnb_server.model_registry.handler_base import ModelHandlerBase
from easymlnb_server.model_templates import rules
from easymlnb_server.model_templates.bundles import Template
from easymlnb_server.model_templates.manager import Author, Data, ModelTemplates
from easymlnb_server.model_templates.models import TemplateConfig, TemplateModel
from easymlnb_server.store.model_records import ModelOverview
from easymlnb_server.uploads.handlers import owner_of


class TemplateHandlerBase(ModelHandlerBase):
    """Base of the routes of models without code."""

    @property
    def templates(self) -> ModelTemplates:
        return self.state.model_templates

    @property
    def author(self) -> Author:
        """The caller as an author; raises ``NotLoggedIn`` for a visitor."""
        caller = self.caller
        if caller is None:
            raise NotLoggedIn
        return Author(caller.name, caller, job_owner(self))

    async def made(
        self, name: str, action: Action = Action.SEE
    ) -> tuple[ModelOverview, TemplateConfig]:
        """Return a model without code; raises ``ModelNotFound``, also without the right."""
        found = await self.found(name, action)
        if not found.model.template:
            raise ModelNotFound(name)
        return found, TemplateConfig.read(found.model.config)

    def data_of(self, template: Template, id: str) -> Data | None:
        """Return the data of one of the caller's uploads; ``None`` without an id.

        Raises ``UploadNotFound`` or ``UploadIncomplete``.
        """
        if not id:
            return None
        uploads = self.state.uploads
        upload = uploads.get(id, owner_of(self))
        if upload.service != template.uploads:
            raise UploadNotFound(id)
        ((_, file),) = uploads.files([id], template.uploads)
        return Data(file, upload.name)

    def shown(self, found: ModelOverview, config: TemplateConfig) -> TemplateModel:
        """Return a model as callers see it."""
        model = found.model
        name = quoted(model.name)
        path = f"{self.address}models/{name}"
        return TemplateModel(
            name=model.name,
            template=model.template or "",
            title=model.title,
            options=config.options,
            data=config.data.name if config.data is not None else "",
            exposed=config.exposed and self.state.services.is_published(model.name),
            public_training=config.public_training,
            latest=found.latest,
            production=rules.predicting(found.aliases, found.latest),
            versions=list(found.numbers),
            job=config.job,
            url=f"{path}/template",
            page=f"{self.address}templates/page?model={name}",
            predict=f"{path}/predict",
        )
