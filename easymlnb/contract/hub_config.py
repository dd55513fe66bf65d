"""The lines of ``jupyterhub_config.py`` that easymlnb needs, for error messages."""

from collections.abc import Collection

SERVICE = "easymlnb"
"""Name of the shared service on a Hub: it answers at ``/services/easymlnb/``."""

ACCESS = f"access:services!service={SERVICE}"
"""What somebody's token must be good for to be let in by the shared service."""

SCOPES = ("servers", "tokens", "read:users")
"""What the shared service may do: start and stop users' servers, and know who they are.

``read:users`` is for their groups, whether they are administrators, and since when they are users:
by that somebody who gets the name of a former user is told from the former. ``tokens``: it goes
to a user's server with a token of that user, made for this and short-lived, never with its own.
"""

OWN_SCOPES = ("users:activity!user", "access:servers!user", "servers!user")
"""What the token of a user's own server must be good for to start and reach the user's others."""


def has_scope(scope: str, scopes: Collection[str]) -> bool:
    """Say whether a scope is held, for everybody or narrowed to some (``scope!group=...``)."""
    return any(one == scope or one.startswith(f"{scope}!") for one in scopes)


def listed(scopes: tuple[str, ...]) -> str:
    """Return scopes as a Python list."""
    return "[" + ", ".join(f'"{scope}"' for scope in scopes) + "]"


TOKENS = f"c.Spawner.server_token_scopes = {listed((*OWN_SCOPES, ACCESS))}"
"""The line for the tokens of users' servers where there is a shared service."""

OWN_TOKENS = f"c.Spawner.server_token_scopes = {listed(OWN_SCOPES)}"
"""The same line where there is none."""

ROLE = f'{{"name": "{SERVICE}", "services": ["{SERVICE}"], "scopes": {listed(SCOPES)}}}'
"""The shared service's role, an entry of ``c.JupyterHub.load_roles``."""

USERS = f'{{"name": "user", "scopes": {listed(("self", ACCESS))}}}'
"""The role of all users with the right to enter the shared service, another such entry."""
