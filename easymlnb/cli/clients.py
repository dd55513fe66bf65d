"""Clients for commands. The imports are here, so that ``--help`` does not wait for them."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from easymlnb.cli.options import CommandTarget

if TYPE_CHECKING:
    from easymlnb.client import Client


def client_of(name: str, target: CommandTarget) -> "AbstractContextManager[Client]":
    """Return a client of the server that has a service; see ``cli.target``."""
    from easymlnb.cli import target as targets

    return targets.client_of(name, target)


def first_client(target: CommandTarget) -> "Client":
    """Return a client of the Hub's shared service if there is one, else of the user's server."""
    from easymlnb.cli.target import servers
    from easymlnb.client import Client

    return Client(servers(target)[0])


def publishing_client(target: CommandTarget) -> "Client":
    """Return a client of the server that publishing uses."""
    from easymlnb.client import Client, hub

    return Client(hub.publish_target(target.url, target.token))
