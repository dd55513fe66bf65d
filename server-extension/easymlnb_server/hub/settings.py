"""Traits for servers on a JupyterHub, and the objects that they configure."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from jupyter_client.kernelspec import KernelSpecManager
from traitlets import Bool, Dict, HasTraits, TraitError, Unicode, validate

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.hub import group_limits
from easymlnb_server.hub.guard import Guarded
from easymlnb_server.hub.usage import Meters
from easymlnb_server.hub.users import HubUsers
from easymlnb_server.identity.access import UserDirectory
from easymlnb_server.placement import gpus
from easymlnb_server.placement.base import Placement
from easymlnb_server.placement.hub import profiles
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.nodes import PREFIX
from easymlnb_server.placement.hub.placement import HubPlacement
from easymlnb_server.placement.hub.shared_profiles import SharedProfiles
from easymlnb_server.placement.hub.status import PersonalViews, PlacementView, Views
from easymlnb_server.placement.hub.tokens import UserTokens
from easymlnb_server.placement.hub.user_placements import UserPlacements
from easymlnb_server.placement.hub.user_servers import UserServers
from easymlnb_server.placement.local import LocalPlacement
from easymlnb_server.placement.node.manager import NodeKernelManager
from easymlnb_server.placement.registry import LOCAL, PersonalPlacements
from easymlnb_server.store.store import Store


class _Server(Protocol):
    """What is used of Jupyter's server here."""

    def stop(self, from_signal: bool = False) -> None: ...


PLACED = "placed"
"""Folder, below that of the state, for notes on what runs on nodes."""


class HubSettings(HasTraits):
    """Traits of the extension for servers on a Hub."""

    meters: Meters | None = None
    people_of_hub: HubUsers | None = None

    shared = Bool(
        False,
        help="Run as the Hub's shared service: names start with their owner, who controls access.",
    ).tag(config=True)
    placements = Dict(help="Additional placements for workers and kernels, by name.").tag(
        config=True
    )
    hub_proxy = Unicode(
        help="URL at which nodes reach the Hub's proxy; default: the Hub's public URL."
    ).tag(config=True)

    kernel_nodelay = Bool(
        True,
        help="Send kernel messages without delay (TCP_NODELAY), which saves 40 ms per execution.",
    ).tag(config=True)

    group_limits = Dict(
        help="On a shared service: limits of workers and GPU seconds, by group."
    ).tag(config=True)

    @validate("placements")
    def _placements(self, proposal: Any) -> Mapping[str, Any]:
        return _understood("placements", profiles.parse_profiles, proposal["value"])

    @validate("group_limits")
    def _group_limits(self, proposal: Any) -> Mapping[str, Any]:
        return _understood("group_limits", group_limits.read, proposal["value"])

    @property
    def is_node(self) -> bool:
        """Say whether this server was started to carry kernels of another, and nothing else."""
        return os.environ.get("JUPYTERHUB_SERVER_NAME", "").startswith(PREFIX)

    def make_owners(self, folder: Path, people: UserDirectory) -> UserPlacements | None:
        """Return everybody's placements, on a shared service that a Hub started."""
        account = HubCredentials.for_service(os.environ, self.hub_proxy)
        if not (self.shared and account.token and isinstance(people, HubUsers)):
            return None
        self.meters = Meters(people, group_limits.read(self.group_limits))
        profiles_by_name = profiles.for_shared_service(self.placements)
        self.people_of_hub = people

        def guard(user: str, placement: Placement) -> Placement:
            return Guarded(placement, lambda: people.check_start(user))

        tokens = UserTokens(account, people.identity)
        return UserPlacements(
            account, profiles_by_name, folder / PLACED, self.meters.of, guard, tokens
        )

    async def know_people(self, store: Store) -> None:
        """Learn whose name is whose, on a shared service that a Hub started."""
        if self.people_of_hub is not None:
            await asyncio.to_thread(self.people_of_hub.register.open, store.people)

    async def meet_owners(self, store: Store) -> None:
        """Note whose the names are under which something was published before that was noted."""
        if self.people_of_hub is None:
            return
        with contextlib.suppress(EasyMLNBError):  # then each is met when they come
            for name in await asyncio.to_thread(store.people.owners):
                await self.people_of_hub.find(name)

    def make_own_servers(self, owners: UserPlacements | None) -> UserServers | None:
        """Return what looks at users' own servers, on a shared service that a Hub started."""
        return UserServers(owners.credentials, owners.tokens) if owners is not None else None

    @cached_property
    def shared_profiles(self) -> SharedProfiles:
        """The placements of a server of one's own: those it names, and the shared service's."""
        account = HubCredentials.from_environment(os.environ, self.hub_proxy)
        base_url = os.environ.get("JUPYTERHUB_BASE_URL", "/")
        return SharedProfiles(account, base_url, profiles.for_personal_server(self.placements))

    def make_places(self, folder: Path, local: LocalPlacement) -> PersonalPlacements:
        """Return where workers start, on a server of one's own; it blocks."""
        account, records = (
            HubCredentials.from_environment(os.environ, self.hub_proxy),
            folder / PLACED,
        )
        made: dict[str, HubPlacement] = {}

        def others() -> Mapping[str, HubPlacement]:
            # Those that a service named once stay: there may be workers.
            for name, profile in self.shared_profiles.last.items():
                if name != LOCAL and name not in made:
                    made[name] = HubPlacement(name, profile, account, records)
            return made

        if not self.is_node:
            self.shared_profiles.get()
        return PersonalPlacements(local, others)

    def make_views(self, owners: UserPlacements | None) -> Views:
        """Return what tells of placements."""
        if owners is not None:
            return owners
        account = HubCredentials.from_environment(os.environ, self.hub_proxy)
        return PersonalViews(
            lambda: [
                PlacementView(name, profile, account, self.hub_proxy)
                for name, profile in self.shared_profiles.get().items()
            ]
        )

    def make_node(
        self, specs: KernelSpecManager, folder: Path, inherit: list[str]
    ) -> NodeKernelManager:
        """Return what carries kernels of the same user's other servers; ``folder`` is for notes."""
        _end_well(getattr(self, "serverapp", None))
        name = os.environ.get("JUPYTERHUB_SERVER_NAME", "") or "server"
        return NodeKernelManager(
            specs,
            folder / "nodes" / name,
            inherit=inherit,
            detect_gpus=lambda: gpus.assigned_gpus(os.environ),
            stop_server=_leave if self.is_node else None,
        )


def _understood(
    trait: str, read: Callable[[Mapping[str, Any]], object], told: Mapping[str, Any]
) -> Mapping[str, Any]:
    try:
        read(told)
    except ValueError as error:
        raise TraitError(f"EasyMLNB.{trait}: {error}") from error
    return told


def _end_well(server: _Server | None) -> None:
    """End what runs here when a spawner sends SIGINT, by which Jupyter on a Hub just breaks off."""
    here = threading.current_thread() is threading.main_thread()
    plain = here and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if server is not None and plain and "JUPYTERHUB_USER" in os.environ:
        signal.signal(signal.SIGINT, lambda number, frame: server.stop(from_signal=True))


async def _leave() -> None:
    """Stop this server: by the Hub, which then knows, or as its spawner would."""
    try:
        api = HubClient.from_environment(os.environ, "http://not.needed")
        await api.stop(os.environ["JUPYTERHUB_SERVER_NAME"])
        await api.close()
    except (EasyMLNBError, KeyError):
        os.kill(os.getpid(), signal.SIGTERM)
