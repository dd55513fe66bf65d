"""Builds what opens the store, and the background work of the active process."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jupyter_server.serverapp import ServerApp

from easymlnb_server.comparisons.manager import RUNNERS
from easymlnb_server.context import ServerContext
from easymlnb_server.http import pages
from easymlnb_server.lifecycle import ServingLifecycle
from easymlnb_server.placement.address_file import write_address
from easymlnb_server.placement.registry import PlacementProvider
from easymlnb_server.services import catalog
from easymlnb_server.settings import Settings
from easymlnb_server.store.store import Store
from easymlnb_server.supervisor import Work
from easymlnb_server.wiring import needed_files
from easymlnb_server.wiring.server import Components

TIDY_SECONDS = 60.0
TIDY_ROUNDS = 60
"""Deployments are checked each minute, old versions each hour."""


def build_lifecycle(
    settings: Settings,
    components: Components,
    server: ServerApp,
    link: str,
    placements: PlacementProvider,
) -> ServingLifecycle:
    """Return what opens the store and serves published services."""
    folder = Path(settings.state_dir)
    active = _ActiveProcess(settings, components, server)
    return ServingLifecycle(
        folder,
        server.connection_url,
        components.context,
        announce=partial(write_address, folder / "server.json", link, server.certfile or ""),
        orphaned_workers=placements.orphaned_workers,
        prepare=active.prepare,
        duties=active.duties,
        drain=settings.drain_seconds,
    )


@dataclass(frozen=True, slots=True)
class _ActiveProcess:
    """What the process that serves a store does with it."""

    settings: Settings
    components: Components
    server: ServerApp

    async def prepare(self, store: Store) -> None:
        """Read what has to be known before anything is served."""
        hub, context = self.components.hub, self.components.context
        needed_files.register(store)
        context.audit.open(store.audit)
        await context.keys.open(store.api_keys)
        await context.usage.open(store.call_usage)
        await context.quotas.open(store.service_limits)
        context.schedules.prepare(store)
        context.storage_events.prepare(store)
        await context.webhooks.prepare(store)
        if hub is not None:
            await hub.users.open(store.people)

    def duties(self, store: Store) -> Iterator[tuple[str, Work]]:
        """Yield the background work, by name."""
        context, environments = self.components.context, self.components.environments
        hub = self.components.hub
        yield "audit", context.audit.run
        yield "keys", context.keys.run
        yield "usage", context.usage.run
        yield "versions", partial(_tend_versions, context, self.settings.keep_versions)
        yield "promotions", context.promotions.run
        if environments is not None:
            yield "environments", partial(environments.run, store.bundles.locks)
        if hub is not None:
            yield "owners", partial(hub.users.meet_owners, store.people)
            yield "meters", partial(hub.meters.run, store)
        yield "pages", partial(asyncio.to_thread, pages.prepare)
        yield "catalog", partial(catalog.prepare, context.services)
        yield "recordings", context.recordings.run
        yield "shadow comparisons", context.shadow_comparisons.run
        yield "schedules", context.schedules.run
        yield "bundles", partial(context.preloaded.run, self.server.stop)
        yield "webhooks", context.webhooks.run
        yield "bridges", context.bridges.run
        yield "storage events", context.storage_events.run
        for number in range(RUNNERS):
            yield f"comparisons {number}", context.comparisons.run


async def _tend_versions(context: ServerContext, keep: int) -> None:
    """Delete old versions, and stop deployments that nothing needs, from time to time."""
    while True:
        for record in await context.traffic.prune(keep):
            about = {"kept": list(record.numbers)}
            await context.audit.record(
                "version.delete", record.name, owner=record.owner, details=about
            )
        for _ in range(TIDY_ROUNDS):
            await context.traffic.tidy()
            await asyncio.sleep(TIDY_SECONDS)
