"""Builds what brings calls and jobs in from outside: bridges, folders and buckets."""

import os
from dataclasses import dataclass

from easymlnb_server.calls.idempotency import IdempotencyCache
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.identity.access import UserDirectory
from easymlnb_server.identity.principals import Principals
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.messaging.calls import MessageCalls
from easymlnb_server.messaging.manager import Bridges
from easymlnb_server.observability.metrics import Metrics
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.settings import Settings
from easymlnb_server.storage_events.manager import StorageEvents

METRIC = ("easymlnb_bridge_messages", "Messages of bridges to brokers.", "bridge", "outcome")


@dataclass(frozen=True, slots=True)
class EventParts:
    """Bridges to brokers, and the sources of files."""

    bridges: Bridges
    storage_events: StorageEvents


def event_parts(
    settings: Settings,
    users: UserDirectory,
    services: ServiceRegistry,
    invoker: Invoker,
    idempotency: IdempotencyCache,
    jobs: Jobs,
    metrics: Metrics,
) -> EventParts:
    """Return the bridges and sources of the settings; raises ``TraitError``."""
    shared = settings.shared
    on_hub = "JUPYTERHUB_USER" in os.environ
    principals = Principals(users, services.user, shared=shared, on_hub=on_hub)
    calls = MessageCalls(invoker, idempotency, principals)
    bridges = Bridges(settings.parsed_bridges(shared=shared), calls, shared=shared)
    if bridges.runners:
        metrics.counters[METRIC] = bridges.samples
    return EventParts(
        bridges,
        StorageEvents(
            settings.sources(shared=shared), jobs, services, principals, settings.job_retention
        ),
    )
