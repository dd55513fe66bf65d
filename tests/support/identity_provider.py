"""People of a shared service in tests: an identity provider whose tokens are names in a file."""

import json
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from jupyter_server.auth.identity import IdentityProvider

from easymlnb.contract.errors import NotReady
from easymlnb_server.identity.access import Caller, JupyterUser

FILE = "EASYMLNB_TEST_PEOPLE"
"""Environment variable with the path of a file ``{name: {"groups": [...], "admin": bool}}``.

With ``"unknown": true`` nothing can be found out of somebody, as when a Hub is away.
"""


def known() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(os.environ[FILE]).read_text())
    return found


class Directory:
    """The people as they are in the file now."""

    async def find(self, name: str) -> Caller | None:
        said = known().get(name)
        if said is None:
            return None
        if said.get("unknown"):
            raise NotReady("Nobody says who this is.")
        return Caller(name, frozenset(said.get("groups", ())), said.get("admin", False))

    def known(self, name: str) -> Caller | None:
        said = known().get(name)
        if said is None or said.get("unknown"):
            return None
        return Caller(name, frozenset(said.get("groups", ())), said.get("admin", False))


class Identities(IdentityProvider):
    """Lets in who sends ``Authorization: token <name>-token``, or the cookie ``who=<name>``."""

    people = Directory()

    def known(self, token: str) -> JupyterUser | None:
        """Return whose token this is, as the file says now; plain calls are let in by this."""
        name = token.removesuffix("-token")
        said = known().get(name) if token == f"{name}-token" else None
        if said is None:
            return None
        groups = frozenset(said.get("groups", ()))
        return JupyterUser(username=name, groups=groups, admin=said.get("admin", False))

    def get_user(self, handler: Any) -> JupyterUser | Awaitable[JupyterUser | None] | None:
        scheme, _, secret = handler.request.headers.get("Authorization", "").partition(" ")
        name = secret.removesuffix("-token") if scheme == "token" else ""
        by_token = bool(name) and secret == f"{name}-token"
        if not by_token:
            name = handler.get_cookie("who") or ""
        said = known().get(name)
        if said is None:
            return None
        handler._token_authenticated = by_token
        groups = frozenset(said.get("groups", ()))
        return JupyterUser(username=name, groups=groups, admin=said.get("admin", False))
