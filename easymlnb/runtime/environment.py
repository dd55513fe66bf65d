"""Where this process runs: in a worker, or in a kernel of a server with the extension."""

import os
from pathlib import Path

WORKER_ENV = "EASYMLNB_WORKER"
"""Variable with a worker's ID; its child processes inherit it."""


def kernel_id() -> str | None:
    """Return this process's kernel ID; ``None`` if it is not a Jupyter kernel."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:
        return None
    from ipykernel.connect import get_connection_file

    return Path(get_connection_file()).stem.removeprefix("kernel-")


def in_worker() -> bool:
    """Return whether this process executes a bundle, rather than an author's cells."""
    return WORKER_ENV in os.environ


def has_server() -> bool:
    """Return whether this kernel was started by a server that runs the extension.

    A terminal of JupyterLab passes its environment on, for example to nbconvert. Kernels of
    nbconvert are recognized by their other parent.
    """
    server = os.environ.get("EASYMLNB_SERVER_PID", "")
    return (
        not in_worker()
        and bool(server)
        and server == os.environ.get("JPY_PARENT_PID")
        and kernel_id() is not None
    )


def lack_of_server() -> str:
    """Return a sentence for a notebook whose Jupyter server does not run the extension, else "".

    Jupyter servers set a variable with the notebook of a kernel; nbconvert does not.
    """
    lacks = not in_worker() and "EASYMLNB_SERVER_PID" not in os.environ
    if not (lacks and os.environ.get("JPY_SESSION_NAME") and kernel_id()):
        return ""
    return (
        "The Jupyter server of this notebook does not run easymlnb, so its services get no form "
        "and answer no calls: run pip install 'easymlnb[server]' in the environment of that "
        "server, and restart it."
    )


def server_url() -> str:
    """Return the base URL of this kernel's Jupyter server as the kernel reaches it; else ``""``."""
    link = os.environ.get("EASYMLNB_LINK", "") if has_server() else ""
    return link.replace("ws", "http", 1).removesuffix("easymlnb/link")
