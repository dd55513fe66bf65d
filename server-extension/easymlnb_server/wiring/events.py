"""Builds what brings calls and jobs in from outside: bridges, folders and buckets."""

import os
from dataclasses import dataclass

from easymlnb_server.calls.idempotency import IdempotencyCache
from easymlnb_server.identity.access import UserDirectory
from easymlnb_server.identity.principals import Principals
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.messaging.calls import MessageCalls
from easymlnb_server.messaging.manager import Bridges
from easymlnb_server.settings import Settings
from easymlnb_server.storage_events.manager import StorageEvents
from easymlnb_server.wiring.calls import CallParts
from easymlnb_server.wiring.serving import ServingParts

METRIC = ("easymlnb_bridge_messages", "Messages of bridges to brokers.", "bridge", "outcome")


@dataclass(frozen=True, slots=True)
class EventParts:
    """Bridges to brokers, and the sources of files."""

    bridges: Bridges
    storage_events: StorageEvents


def event_parts(
    settings: Settings,
    users: UserDirectory,
    serving: ServingParts,
    calls: CallParts,
    idempotency: IdempotencyCache,
    jobs: Jobs,
) -> EventParts:
    """Return the bridges and sources of the settings; raises ``TraitError``."""
    shared = settings.shared
    on_hub = "JUPYTERHUB_USER" in os.environ
    services = serving.services
    principals = Principals(users, services.user, shared=shared, on_hub=on_hub)
    messages = MessageCalls(calls.invoker, idempotency, principals)
    bridges = Bridges(settings.parsed_bridges(shared=shared), messages, shared=shared)
    if bridges.runners:
        calls.metrics.counters[METRIC] = bridges.samples
    return EventParts(
        bridges,
        StorageEvents(
            settings.sources(shared=shared), jobs, services, principals, settings.job_retention
        ),
    )
