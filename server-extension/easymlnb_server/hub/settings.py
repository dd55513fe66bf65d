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
from easymlnb_server.placement.hub.shared_profiles import CommonSpots
from easymlnb_server.placement.hub.status import OwnViews, PlacementView, Views
from easymlnb_server.placement.hub.tokens import UserTokens
from easymlnb_server.placement.hub.user_placements import OwnersViews, UserPlacements
from easymlnb_server.placement.hub.user_servers import UserServers
from easymlnb_server.placement.local import LocalPlacement
from easymlnb_server.placement.node.manager import NodeKernelManager
from easymlnb_server.placement.registry import LOCAL, PersonalPlacements
from easymlnb_server.store.store import Store


class _Server(Protocol):
    """The part of Jupyter's server that is used here."""

    def stop(self, from_signal: bool = False) -> None: ...


PLACED = "placed"
"""Folder below the state folder with the records of workers on nodes."""


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
        return _validated("placements", profiles.read, proposal["value"])

    @validate("group_limits")
    def _group_limits(self, proposal: Any) -> Mapping[str, Any]:
        return _validated("group_limits", group_limits.parse, proposal["value"])

    @property
    def is_node(self) -> bool:
        """Return whether this server only runs kernels of another one."""
        return os.environ.get("JUPYTERHUB_SERVER_NAME", "").startswith(PREFIX)

    def make_owners(self, folder: Path, people: UserDirectory) -> UserPlacements | None:
        """Return everybody's placements, on a shared service that a Hub started."""
        account = HubCredentials.of_service(os.environ, self.hub_proxy)
        if not (self.shared and account.token and isinstance(people, HubUsers)):
            return None
        self.meters = Meters(people, group_limits.parse(self.group_limits))
        spots = profiles.on_shared_service(self.placements)
        self.people_of_hub = people

        def guard(user: str, placement: Placement) -> Placement:
            return Guarded(placement, lambda: people.check_start(user))

        tokens = UserTokens(account, people.identity)
        return UserPlacements(account, spots, folder / PLACED, self.meters.get, guard, tokens)

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
        return UserServers(owners.account, owners.tokens) if owners is not None else None

    @cached_property
    def spots(self) -> CommonSpots:
        """The placements of a server of one's own: those it names, and the shared service's."""
        account = HubCredentials.of(os.environ, self.hub_proxy)
        base_url = os.environ.get("JUPYTERHUB_BASE_URL", "/")
        return CommonSpots(account, base_url, profiles.on_own_server(self.placements))

    def make_places(self, folder: Path, local: LocalPlacement) -> PersonalPlacements:
        """Return where workers start, on a server of one's own; it blocks."""
        account, notes = HubCredentials.of(os.environ, self.hub_proxy), folder / PLACED
        made: dict[str, HubPlacement] = {}

        def others() -> Mapping[str, HubPlacement]:
            # Those that a service named once stay: there may be workers.
            for name, spot in self.spots.last.items():
                if name != LOCAL and name not in made:
                    made[name] = HubPlacement(name, spot, account, notes)
            return made

        if not self.is_node:
            self.spots.get()
        return PersonalPlacements(local, others)

    def make_views(self, owners: UserPlacements | None) -> Views:
        """Return what tells of placements."""
        if owners is not None:
            return OwnersViews(owners)
        account = HubCredentials.of(os.environ, self.hub_proxy)
        return OwnViews(
            lambda: [
                PlacementView(name, spot, account, self.hub_proxy)
                for name, spot in self.spots.get().items()
            ]
        )

    def make_node(
        self, specs: KernelSpecManager, folder: Path, inherit: list[str]
    ) -> NodeKernelManager:
        """Return what carries kernels of the same user's other servers; ``folder`` is for notes."""
        _stop_on_sigint(getattr(self, "serverapp", None))
        name = os.environ.get("JUPYTERHUB_SERVER_NAME", "") or "server"
        return NodeKernelManager(
            specs,
            folder / "nodes" / name,
            inherit=inherit,
            gpus=lambda: gpus.given(os.environ),
            leave=_leave if self.is_node else None,
        )


def _validated(
    trait: str, read: Callable[[Mapping[str, Any]], object], value: Mapping[str, Any]
) -> Mapping[str, Any]:
    try:
        read(value)
    except ValueError as error:
        raise TraitError(f"EasyMLNB.{trait}: {error}") from error
    return value


def _stop_on_sigint(server: _Server | None) -> None:
    """Shut down in order on SIGINT of a spawner; Jupyter on a Hub would exit at once."""
    here = threading.current_thread() is threading.main_thread()
    plain = here and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if server is not None and plain and "JUPYTERHUB_USER" in os.environ:
        signal.signal(signal.SIGINT, lambda number, frame: server.stop(from_signal=True))


async def _leave() -> None:
    """Stop this server through the Hub, or else as its spawner would."""
    try:
        api = HubClient.of(os.environ, "http://not.needed")
        await api.stop(os.environ["JUPYTERHUB_SERVER_NAME"])
        await api.close()
    except (EasyMLNBError, KeyError):
        os.kill(os.getpid(), signal.SIGTERM)
