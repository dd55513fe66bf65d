"""Traits for servers on a JupyterHub."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from traitlets import Bool, Dict, HasTraits, TraitError, Unicode, validate

from easymlnb_server.hub import group_limits
from easymlnb_server.placement.hub import profiles
from easymlnb_server.placement.hub.nodes import PREFIX


class HubSettings(HasTraits):
    """Traits of the extension for servers on a Hub."""

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

    group_accounts = Dict(
        help="On a shared service: users as whom the workers of a group's services run, by group."
    ).tag(config=True)

    @validate("group_accounts")
    def _group_accounts(self, proposal: Any) -> Mapping[str, str]:
        for group, user in proposal["value"].items():
            if not (isinstance(group, str) and isinstance(user, str) and user):
                raise TraitError(
                    f"EasyMLNB.group_accounts: the user of group {group!r} must be a name, not "
                    f"{user!r}."
                )
        return dict(proposal["value"])

    @validate("placements")
    def _placements(self, proposal: Any) -> Mapping[str, Any]:
        return _validated("placements", profiles.parse_profiles, proposal["value"])

    @validate("group_limits")
    def _group_limits(self, proposal: Any) -> Mapping[str, Any]:
        return _validated("group_limits", group_limits.parse, proposal["value"])

    @property
    def is_node(self) -> bool:
        """Return whether this server only runs kernels of another one."""
        return os.environ.get("JUPYTERHUB_SERVER_NAME", "").startswith(PREFIX)


def _validated(
    trait: str, read: Callable[[Mapping[str, Any]], object], value: Mapping[str, Any]
) -> Mapping[str, Any]:
    try:
        read(value)
    except ValueError as error:
        raise TraitError(f"EasyMLNB.{trait}: {error}") from error
    return value
