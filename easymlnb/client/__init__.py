"""Calling services from anywhere: notebooks, scripts, other services.

::

    import easymlnb as ml

    c = ml.connect()                # or ml.connect("https://host/user/me/", token="...")
    c.roll(sides=6)
    help(c.segment)
    c.segment(image=Path("nuclei.tif")).save("labels.png")

Errors are those of ``easymlnb.contract.errors``: ``InvalidInput``, ``ServiceNotFound``, ``Busy``...
"""

from easymlnb.client import discovery, hub
from easymlnb.client.async_client import AsyncClient
from easymlnb.client.decoding import DownloadedFile
from easymlnb.client.encoding import FilePart
from easymlnb.client.operations import CallOptions, RawResponse
from easymlnb.client.sync_client import Client
from easymlnb.contract.errors import ServerUnreachable
from easymlnb.contract.options import named_options

__all__ = [
    "AsyncClient",
    "CallOptions",
    "Client",
    "DownloadedFile",
    "FilePart",
    "RawResponse",
    "connect",
    "connect_async",
]


@named_options
def connect(url: str | None = None, token: str | None = None, *, shared: bool = False) -> Client:
    """Return a client of a server.

    Parameters
    ----------
    url : str, optional
        Address of the server, its catalog or its JupyterLab; a ``?token=...`` in it is used.
        Default: ``EASYMLNB_URL``, else the server of this kernel, else the newest server that runs
        on this machine.
    token : str, optional
        Default: ``EASYMLNB_TOKEN``, or the token of the server that was found.
    shared : bool, default False
        In a server of a JupyterHub: connect to the Hub's shared service.

    Returns
    -------
    Client

    Raises
    ------
    ServerUnreachable
        There is no server; the message says what to do.
    Forbidden
        The shared service refuses the token of this server.
    """
    return Client(_find(url, token, shared))


@named_options
def connect_async(
    url: str | None = None, token: str | None = None, *, shared: bool = False
) -> AsyncClient:
    """Return an ``AsyncClient``; parameters and errors are those of ``connect``."""
    return AsyncClient(_find(url, token, shared))


def _find(url: str | None, token: str | None, shared: bool) -> discovery.Server:
    if not shared:
        return discovery.find(url, token)
    found = hub.publish_target(url, token)
    if not found.shared:
        raise ServerUnreachable(
            "There is no shared service: this server was not started by a JupyterHub, or the Hub "
            "has no shared service. Use ml.connect() without shared=True to connect to this "
            "server."
        )
    return found
