"""Choose the server for a command on a Hub: the shared service, or the user's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from easymlnb.cli import output
from easymlnb.client import discovery, hub
from easymlnb.contract.errors import Forbidden, ServerUnreachable, ServiceNotFound

if TYPE_CHECKING:
    from easymlnb.client import Client


def servers(
    url: str | None, token: str | None, *, here: bool = False, shared: bool = False
) -> list[discovery.Server]:
    """Return where to look for services, first to last: the shared service and one's own server.

    Outside of a Hub, and where a server is named, it is that one alone. ``shared`` says that it has
    to be the shared service, so why it cannot be used is raised; else it is told, and left out.
    """
    try:
        first = hub.server(url, token, here=here)
    except (Forbidden, ServerUnreachable) as error:
        if shared or url or here:
            raise
        found = discovery.find()
        output.say(error.message)
        return [found]
    if not first.shared or url or shared:
        return [first]
    try:
        return [first, discovery.find()]
    except ServerUnreachable:
        return [first]  # nothing is published where this runs


@contextmanager
def client_of(
    name: str, url: str | None, token: str | None, *, here: bool = False
) -> Iterator["Client"]:
    """Give a client of the server that has a service: what is published counts before live ones.

    Where none has it, it is one of the first, whose answer then says so.
    """
    from easymlnb.client import Client

    found = servers(url, token, here=here, shared="/" in name)
    chosen = found[0]
    for server in found if len(found) > 1 else ():
        with Client(server) as client:
            try:
                client.spec(name)
            except ServiceNotFound:
                continue
        chosen = server
        break
    with Client(chosen) as client:
        yield client


def listed(url: str | None, token: str | None, *, here: bool = False) -> list[dict[str, Any]]:
    """Return the services of all of them, each under the name by which it is called."""
    from easymlnb.client import Client
    from easymlnb.client.operations import listed_name

    found: dict[str, dict[str, Any]] = {}
    for server in servers(url, token, here=here):
        with Client(server) as client:
            for line in client.services():
                name = listed_name(line)
                found.setdefault(name, {**line, "name": name})
    return list(found.values())
