"""As whom the server does work that no request asked for, such as the files of a folder."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from easymlnb.contract.errors import Forbidden
from easymlnb_server.identity.access import SINGLE_USER, Caller, UserDirectory, owner_key

LONGEST_NAME = 63


class NamesUser(Protocol):
    """What an administrator configures, with the user as whom it runs."""

    @property
    def user(self) -> str: ...


T = TypeVar("T", bound=NamesUser)


def parse_configured(
    configured: Mapping[str, Any], kind: type[T], noun: str, *, shared: bool
) -> dict[str, T]:
    """Return the records of a setting by name; raises ``ValueError`` that names the wrong one."""
    found: dict[str, T] = {}
    for name, values in configured.items():
        if not name.isidentifier() or not name.isascii() or len(name) > LONGEST_NAME:
            raise ValueError(f"{name!r} is no name of a {noun}; use letters, digits and _")
        try:
            one = found[name] = msgspec.convert(values, kind)
        except msgspec.ValidationError as error:
            raise ValueError(f"the {noun} {name!r} is invalid: {error}") from error
        if shared and not one.user:
            raise ValueError(
                f"the {noun} {name!r} is invalid: user is missing; a shared server needs it"
            )
    return found


class Principals:
    """Finds the users whose rights such work has, as they are now.

    Parameters
    ----------
    users
        Looks up the rights of users.
    account
        The only user of a personal server, and the caller of all its requests.
    shared
        Whether many users share this server; work then names its user.
    on_hub
        Whether the login of this server is the Hub's.
    """

    def __init__(
        self, users: UserDirectory, account: Caller, *, shared: bool, on_hub: bool
    ) -> None:
        self._users = users
        self._account = account
        self._shared = shared
        self._own_key = owner_key(account.name) if on_hub else SINGLE_USER

    async def find(self, user: str) -> tuple[Caller, str]:
        """Return a user, and the key of what the user owns; raises ``Forbidden``."""
        if not self._shared:
            return self._account, self._own_key
        caller = await self._users.find(user)
        if caller is None or not caller.owns(user):
            raise Forbidden(f"There is no user {user!r} who may log in.")
        return caller, owner_key(user)
