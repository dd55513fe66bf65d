"""The lines of ``jupyterhub_config.py`` that easymlnb needs, for error messages."""

from collections.abc import Collection

SERVICE = "easymlnb"
"""Name of the shared service on a Hub: it answers at ``/services/easymlnb/``."""

HUB_URL = "EASYMLNB_HUB_URL"
"""The variable with the Hub's public URL for a shared service on JupyterHub 5, which sets none."""

ACCESS = f"access:services!service={SERVICE}"
"""The scope that a user's token needs to call the shared service."""

SCOPES = ("servers", "tokens", "read:users")
"""The scopes of the shared service.

``servers`` is to start and stop users' servers. ``read:users`` is for groups, administrators, and
the date of creation, which distinguishes a user from a former one with the same name. ``tokens`` is
to reach a user's server with a short-lived token of that user, never with the service's own.
"""

OWN_SCOPES = ("users:activity!user", "access:servers!user", "servers!user")
"""The scopes that the token of a user's server needs to start and reach the user's others."""


def has_scope(scope: str, scopes: Collection[str]) -> bool:
    """Say whether ``scopes`` contain a scope, unrestricted or with a filter (``!group=...``)."""
    return any(held == scope or held.startswith(f"{scope}!") for held in scopes)


def listed(scopes: tuple[str, ...]) -> str:
    """Return scopes as a Python list."""
    return "[" + ", ".join(f'"{scope}"' for scope in scopes) + "]"


TOKENS = f"c.Spawner.server_token_scopes = {listed((*OWN_SCOPES, ACCESS))}"
"""The line for the tokens of users' servers on a Hub with a shared service."""

OWN_TOKENS = f"c.Spawner.server_token_scopes = {listed(OWN_SCOPES)}"
"""The same line on a Hub without a shared service."""

ROLE = f'{{"name": "{SERVICE}", "services": ["{SERVICE}"], "scopes": {listed(SCOPES)}}}'
"""The shared service's role, an entry of ``c.JupyterHub.load_roles``."""

USERS = f'{{"name": "user", "scopes": {listed(("self", ACCESS))}}}'
"""The role of all users with the right to enter the shared service, another such entry."""
