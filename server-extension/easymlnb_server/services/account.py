"""The account of this server."""

import getpass
import os


def account() -> str:
    """Return whose server this is: the Hub's name for the user, else the account's.

    Jupyter's ``current_user`` will not do: it is a new, nameless one for each client with a token.
    """
    if found := os.environ.get("JUPYTERHUB_USER"):
        return found
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
