"""Builds the placements that start kernels: on this machine, and on nodes of a Hub."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.serverapp import ServerApp

from easymlnb_server.hub import group_limits
from easymlnb_server.hub.usage import Meters
from easymlnb_server.hub.users import HubUsers
from easymlnb_server.identity.access import UserDirectory
from easymlnb_server.placement import gpus
from easymlnb_server.placement.hub import profiles
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.placement import HubPlacement
from easymlnb_server.placement.hub.shared_profiles import SharedProfiles
from easymlnb_server.placement.hub.status import PersonalViews, PlacementView, Views
from easymlnb_server.placement.hub.tokens import UserTokens
from easymlnb_server.placement.hub.user_placements import UserPlacements
from easymlnb_server.placement.hub.user_servers import UserServers
from easymlnb_server.placement.local import LocalPlacement
from easymlnb_server.placement.node.manager import NodeKernelManager
from easymlnb_server.placement.node.shutdown import stop_on_sigint, stop_server
from easymlnb_server.placement.registry import (
    LOCAL,
    LocalPlacements,
    PersonalPlacements,
    PlacementProvider,
)
from easymlnb_server.settings import Settings

PLACED = "placed"
"""Folder, below the state folder, for records of what runs on nodes."""


@dataclass(frozen=True, slots=True)
class HubParts:
    """What only a shared service that a Hub started has."""

    users: HubUsers
    meters: Meters
    placements: UserPlacements
    user_servers: UserServers


def build_placements(
    settings: Settings,
    hub: HubParts | None,
    common: SharedProfiles,
    server: ServerApp,
    link: str,
) -> PlacementProvider:
    """Return where workers start, on a server that kernels reach at ``link``. It blocks."""
    if hub is not None:
        return hub.placements
    folder = Path(settings.state_dir)
    local = LocalPlacement(
        kernelspecs(server),
        folder / "workers",
        link=link,
        cafile=server.certfile or "",
        address_file=folder / "server.json",
        inherit=settings.inherited_environment,
        gpus=gpus.visible_gpus(os.environ, gpus.detect_gpus()),
    )
    if settings.bundles:
        return LocalPlacements(local)
    if not settings.is_node:
        common.get()
    credentials = HubCredentials.from_environment(os.environ, settings.hub_proxy)
    made: dict[str, HubPlacement] = {}

    def others() -> Mapping[str, HubPlacement]:
        # A placement that a service named once stays: it may have workers.
        for name, profile in common.last.items():
            if name != LOCAL and name not in made:
                made[name] = HubPlacement(name, profile, credentials, folder / PLACED)
        return made

    return PersonalPlacements(local, others)


def hub_parts(settings: Settings, folder: Path, directory: UserDirectory) -> HubParts | None:
    credentials = HubCredentials.for_service(os.environ, settings.hub_proxy)
    if not (settings.shared and credentials.token and isinstance(directory, HubUsers)):
        return None
    users = directory
    meters = Meters(users, group_limits.parse(settings.group_limits))
    tokens = UserTokens(credentials, users.identity)
    placements = UserPlacements(
        credentials,
        profiles.for_shared_service(settings.placements),
        folder / PLACED,
        meters.get,
        users.check_start,
        tokens,
    )
    return HubParts(users, meters, placements, UserServers(credentials, tokens))


def shared_profiles(settings: Settings, credentials: HubCredentials) -> SharedProfiles:
    own = {} if settings.shared else settings.placements
    base_url = os.environ.get("JUPYTERHUB_BASE_URL", "/")
    return SharedProfiles(credentials, base_url, profiles.for_personal_server(own))


def node_kernels(settings: Settings, server: ServerApp, folder: Path) -> NodeKernelManager:
    stop_on_sigint(partial(server.stop, from_signal=True))
    name = os.environ.get("JUPYTERHUB_SERVER_NAME", "") or "server"
    return NodeKernelManager(
        kernelspecs(server),
        folder / "nodes" / name,
        inherit=settings.inherited_environment,
        detect_gpus=lambda: gpus.assigned_gpus(os.environ),
        stop_server=stop_server if settings.is_node else None,
    )


def placement_views(
    settings: Settings, hub: HubParts | None, common: SharedProfiles, credentials: HubCredentials
) -> Views:
    if hub is not None:
        return hub.placements
    return PersonalViews(
        lambda: [
            PlacementView(name, profile, credentials, settings.hub_proxy)
            for name, profile in common.get().items()
        ]
    )


def kernelspecs(server: ServerApp) -> KernelSpecManager:
    assert server.kernel_spec_manager is not None
    return server.kernel_spec_manager
