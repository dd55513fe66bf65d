"""Calling services from anywhere: notebooks, scripts, other services.

::

    import easymlnb as ml

    c = ml.connect()                # or ml.connect("https://host/user/me/", token="...")
    c.roll(sides=6)
    help(c.segment)
    c.segment(image=Path("nuclei.tif")).save("labels.png")

Errors are those of ``easymlnb.contract.errors``: ``InvalidInput``, ``ServiceNotFound``, ``Busy``...
"""

from easymlnb import discovery
from easymlnb.client.aio import AsyncClient
from easymlnb.client.flows import Options, Raw
from easymlnb.client.results import Download
from easymlnb.client.sync import Client
from easymlnb.client.values import Part

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


def connect(url: str | None = None, token: str | None = None) -> Client:
    """Return a client of the server at ``url``.

    Without ``url`` it is the one named by ``EASYMLNB_URL``, else the one running on this machine.
    Raises ``ServerUnreachable`` with what to do when there is none.
    """
    return Client(discovery.find(url, token))


def connect_async(url: str | None = None, token: str | None = None) -> AsyncClient:
    """Return the async client; arguments and errors as of ``connect``."""
    return AsyncClient(discovery.find(url, token))
