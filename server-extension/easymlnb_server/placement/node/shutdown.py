"""How a server on a JupyterHub ends: by its Hub, and at SIGINT."""

import os
import signal
import threading
from collections.abc import Callable

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.placement.hub.client import HubClient


def stop_on_sigint(stop: Callable[[], None]) -> None:
    """Stop in order when a spawner sends SIGINT, at which Jupyter on a Hub breaks off."""
    main = threading.current_thread() is threading.main_thread()
    unhandled = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if unhandled and "JUPYTERHUB_USER" in os.environ:
        signal.signal(signal.SIGINT, lambda number, frame: stop())


async def stop_server() -> None:
    """Stop this server through its Hub, which then knows, or as its spawner would."""
    try:
        client = HubClient.from_environment(os.environ, "http://not.needed")
        await client.stop(os.environ["JUPYTERHUB_SERVER_NAME"])
        await client.close()
    except (EasyMLNBError, KeyError):
        os.kill(os.getpid(), signal.SIGTERM)
