"""Choose the server for a command on a Hub: the shared service, or the user's own server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from easymlnb.cli import output
from easymlnb.cli.options import CommandTarget
from easymlnb.client import discovery, hub
from easymlnb.contract.errors import Forbidden, ServerUnreachable, ServiceNotFound

if TYPE_CHECKING:
    from easymlnb.client import Client


def servers(target: CommandTarget, *, shared: bool = False) -> list[discovery.Server]:
    """Return the servers to search, in order: the shared service and the user's own server.

    Outside of a Hub, and for a given URL, it is one server. With ``shared`` only the shared service
    counts, and its errors are raised; else they are printed, and it is left out.
    """
    try:
        first = hub.publish_target(target.url, target.token, personal=target.personal)
    except (Forbidden, ServerUnreachable) as error:
        if shared or target.url or target.personal:
            raise
        own = discovery.find()
        output.message(error.message)
        return [own]
    if not first.shared or target.url or shared:
        return [first]
    try:
        return [first, discovery.find()]
    except ServerUnreachable:
        return [first]


@contextmanager
def client_of(name: str, target: CommandTarget) -> Iterator["Client"]:
    """Give a client of the first server that has a service: published ones precede live ones.

    If none has the service it is the first server, whose response then says so.
    """
    from easymlnb.client import Client

    candidates = servers(target, shared="/" in name)
    chosen = candidates[0]
    for server in candidates if len(candidates) > 1 else ():
        with Client(server) as client:
            try:
                client.admin.spec(name)
            except ServiceNotFound:
                continue
        chosen = server
        break
    with Client(chosen) as client:
        yield client


def list_services(target: CommandTarget, **query: Any) -> list[dict[str, Any]]:
    """Return the services of all servers that match, each with the name by which it is called."""
    from easymlnb.client import Client
    from easymlnb.client.operations import listed_name

    found: dict[str, dict[str, Any]] = {}
    for server in servers(target):
        with Client(server) as client:
            for service in client.admin.services(**query):
                name = listed_name(service)
                found.setdefault(name, {**service, "name": name})
    return list(found.values())
