"""Builds what trains, stores and serves models."""

from dataclasses import dataclass
from functools import partial

from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.identity.access import UserDirectory
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.model_registry.manager import ModelRegistry
from easymlnb_server.model_registry.tokens import ModelTokens
from easymlnb_server.model_templates.exposing import Exposing
from easymlnb_server.model_templates.hosting import TemplateHosts
from easymlnb_server.model_templates.manager import ModelTemplates
from easymlnb_server.model_templates.mlaas.training import MlaasTraining
from easymlnb_server.settings import Settings
from easymlnb_server.training.repository import TrainedModels
from easymlnb_server.training.versions import announce
from easymlnb_server.uploads.spool import Spool
from easymlnb_server.wiring.serving import ServingParts


@dataclass(frozen=True, slots=True)
class ModelParts:
    """The registry of models, models without code, and their routes for the paper's client."""

    registry: ModelRegistry
    templates: ModelTemplates
    mlaas: MlaasTraining


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """What workers need to use models: the users in whose names they act, and their tokens."""

    users: UserDirectory
    tokens: ModelTokens


def model_parts(
    settings: Settings,
    serving: ServingParts,
    invoker: Invoker,
    jobs: Jobs,
    spool: Spool,
    access: ModelAccess,
) -> ModelParts:
    """Return the parts of a server that are about models; trainings are jobs that make versions."""
    publisher = serving.publisher
    hosts = TemplateHosts(publisher, shared=settings.shared)
    exposing = Exposing(publisher, serving.traffic)
    templates = ModelTemplates(hosts, invoker, jobs, spool, exposing, lambda: publisher.store)
    registry = ModelRegistry(
        serving.services,
        lambda: publisher.store,
        access.users,
        access.tokens,
        settings.model_quota,
        hosts.is_template,
    )
    trained = TrainedModels(lambda: jobs.store.files)
    jobs.checks.append(trained.check)
    jobs.on_outcome.append(trained.register)
    jobs.on_ended += (partial(announce, registry), templates.on_ended)
    mlaas = MlaasTraining(templates, invoker, jobs, spool)
    return ModelParts(registry, templates, mlaas)
