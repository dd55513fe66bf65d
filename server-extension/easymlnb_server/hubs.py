"""What an administrator may set about the nodes of a JupyterHub, and what is made of it."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from traitlets import Bool, Dict, HasTraits, TraitError, Unicode, validate

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.placement import gpus
from easymlnb_server.placement.hub import options
from easymlnb_server.placement.hub.account import Account
from easymlnb_server.placement.hub.api import HubApi
from easymlnb_server.placement.hub.nodes import PREFIX
from easymlnb_server.placement.hub.view import PlacementView
from easymlnb_server.placement.hub.workers import HubPlacement
from easymlnb_server.placement.node import NodeKernels


class HubSettings(HasTraits):
    """Traits of the extension for servers on a Hub."""

    placements = Dict(help="Where workers and kernels may start beside here, by name.").tag(
        config=True
    )
    hub_proxy = Unicode(
        help="Address of the Hub's proxy as nodes reach it; default: the Hub's public one."
    ).tag(config=True)

    kernel_nodelay = Bool(
        True, help="Send messages of kernels at once: 40 ms less for each execution."
    ).tag(config=True)

    @validate("placements")
    def _placements(self, proposal: Any) -> Mapping[str, Any]:
        try:
            options.read(proposal["value"])
        except ValueError as error:
            raise TraitError(f"EasyMLNB.placements: {error}") from error
        found: Mapping[str, Any] = proposal["value"]
        return found

    @property
    def is_node(self) -> bool:
        """Say whether this server was started to carry kernels of another, and nothing else."""
        return os.environ.get("JUPYTERHUB_SERVER_NAME", "").startswith(PREFIX)

    def placement_views(self) -> tuple[PlacementView, ...]:
        """Return what tells of each placement."""
        spots = options.read(self.placements)
        account = Account.of(os.environ, self.hub_proxy)
        return tuple(
            PlacementView(name, spot, account, self.hub_proxy) for name, spot in spots.items()
        )

    def hub_placements(self, folder: Path) -> dict[str, HubPlacement]:
        """Return the placements on nodes, by name; ``folder`` is for notes on what runs there."""
        notes = folder / "placed"
        return {
            name: HubPlacement(name, spot, Account.of(os.environ, self.hub_proxy), notes)
            for name, spot in options.read(self.placements).items()
        }

    def make_node(self, specs: KernelSpecManager, folder: Path, inherit: list[str]) -> NodeKernels:
        """Return what carries kernels of the same user's other servers; ``folder`` is for notes."""
        name = os.environ.get("JUPYTERHUB_SERVER_NAME", "") or "server"
        return NodeKernels(
            specs,
            folder / "nodes" / name,
            inherit=inherit,
            gpus=lambda: gpus.given(os.environ),
            leave=_leave if self.is_node else None,
        )


async def _leave() -> None:
    """Stop this server: by the Hub, which then knows, or as its spawner would."""
    try:
        api = HubApi.of(os.environ, "http://not.needed")
        await api.stop(os.environ["JUPYTERHUB_SERVER_NAME"])
        await api.close()
    except (EasyMLNBError, KeyError):
        os.kill(os.getpid(), signal.SIGTERM)
