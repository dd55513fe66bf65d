"""The account of this server."""

import getpass
import os


def account() -> str:
    """Return the name of the server's user: that in the Hub, else that of the system account.

    Jupyter's ``current_user`` has no fixed name: Jupyter makes up a user for each token request.
    """
    if found := os.environ.get("JUPYTERHUB_USER"):
        return found
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
