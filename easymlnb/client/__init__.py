"""Calling services from anywhere: notebooks, scripts, other services.

::

    import easymlnb as ml

    c = ml.connect()                # or ml.connect("https://host/user/me/", token="...")
    c.roll(sides=6)
    help(c.segment)
    c.segment(image=Path("nuclei.tif")).save("labels.png")

Errors are those of ``easymlnb.contract.errors``: ``InvalidInput``, ``ServiceNotFound``, ``Busy``...
"""

from easymlnb import discovery, hub
from easymlnb.client.aio import AsyncClient
from easymlnb.client.flows import Options, Raw
from easymlnb.client.results import Download
from easymlnb.client.sync import Client
from easymlnb.client.values import Part
from easymlnb.contract.errors import ServerUnreachable
from easymlnb.contract.options import named_options

__all__ = [
    "AsyncClient",
    "Client",
    "Download",
    "Options",
    "Part",
    "Raw",
    "connect",
    "connect_async",
]


@named_options
def connect(url: str | None = None, token: str | None = None, *, shared: bool = False) -> Client:
    """Return a client of the server at ``url``.

    Without ``url`` it is the one named by ``EASYMLNB_URL``, else the one running on this machine.
    ``shared=True`` in a server of a JupyterHub is the service that all its users share.

    Raises ``ServerUnreachable`` with what to do when there is none, ``Forbidden`` when the shared
    service refuses the token of this server.
    """
    return Client(_find(url, token, shared))


@named_options
def connect_async(
    url: str | None = None, token: str | None = None, *, shared: bool = False
) -> AsyncClient:
    """Return the async client; arguments and errors as of ``connect``."""
    return AsyncClient(_find(url, token, shared))


def _find(url: str | None, token: str | None, shared: bool) -> discovery.Server:
    if not shared:
        return discovery.find(url, token)
    found = hub.server(url, token)
    if not found.shared:
        raise ServerUnreachable(
            "There is no shared service: this server was not started by a JupyterHub, or the Hub "
            "has no shared service. Use ml.connect() without shared=True to connect to this "
            "server."
        )
    return found
