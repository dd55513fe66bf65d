"""Access rules of services: users, groups and actions. Pure functions and records."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec
from jupyter_server.auth.identity import User

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.json_values import check_keys
from easymlnb.contract.names import LONGEST

MOST = 1000
"""Users, and groups, that a service may name."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for something. A visitor without a login is ``None`` in place of this."""

    name: str
    groups: frozenset[str] = frozenset()
    admin: bool = False
    names: frozenset[str] | None = None
    """The names under which they have rights, where that is not just ``name``: none for somebody
    whose name was another's before, more for somebody who was renamed."""

    def owns(self, owner: str) -> bool:
        """Say whether what belongs to that name is theirs."""
        return owner == self.name if self.names is None else owner in self.names

    def among(self, users: Collection[str]) -> bool:
        """Say whether one of these names is theirs."""
        if self.names is None:
            return self.name in users
        return not self.names.isdisjoint(users)


@dataclass
class JupyterUser(User):
    """Somebody who is logged in, with what an identity provider knows of them beyond the name.

    ``groups`` are their groups' names, ``admin`` says that they may manage everybody's services.
    ``names`` are as those of a ``Caller``.
    """

    groups: frozenset[str] = frozenset()
    admin: bool = False
    names: frozenset[str] | None = None

    @property
    def caller(self) -> Caller:
        return Caller(self.username, self.groups, self.admin, self.names)


class Action(StrEnum):
    """What somebody wants of a service.

    ``SEE``: that it exists, and what it says of itself: catalog, spec, pages. ``CALL``: send
    values and get answers. ``MANAGE``: its log, notebook and versions' bundles, who may call it,
    its removal.
    """

    SEE = "see"
    CALL = "call"
    MANAGE = "manage"


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who, beside its owner and administrators, may see and call a service; nobody at first.

    ``everyone`` means everybody who can log in, ``public`` also those who cannot.
    """

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    everyone: bool = False
    public: bool = False

    def __post_init__(self) -> None:
        for kind, names in (("users", self.users), ("groups", self.groups)):
            if len(names) > MOST:
                raise ValueError(f"at most {MOST} {kind} can be listed; use a group instead")
            for name in names:
                if not 0 < len(name) <= LONGEST or not name.isprintable():
                    raise ValueError(
                        f"{kind} must be names with 1 to {LONGEST} printable characters"
                    )

    def to_dict(self) -> dict[str, object]:
        return {
            "users": list(self.users),
            "groups": list(self.groups),
            "everyone": self.everyone,
            "public": self.public,
        }


PRIVATE = Access()
"""For its owner only: what a new service is."""


SINGLE_USER = "user"
"""The key of calls that come with the server's own token: it knows one person only."""

_LABEL = "user "


def label(name: str) -> str:
    """Return what calls and uploads of somebody are marked with."""
    return f"{_LABEL}{name}"


def user_of_key(text: str) -> str | None:
    """Return whose such a mark is; ``None`` for that of a visitor."""
    return text.removeprefix(_LABEL) if text.startswith(_LABEL) else None


class UserDirectory(Protocol):
    """Knows who somebody is now, for what goes on longer than a request."""

    async def find(self, name: str) -> Caller | None:
        """Return somebody by name, at most 30 s old; ``None`` for who may not log in any more."""


class SingleUserDirectory:
    """The people of a personal server: whoever got in is its user, who may do everything."""

    async def find(self, name: str) -> Caller | None:
        return Caller(name, admin=True)


def may(caller: Caller | None, owner: str, access: Access, action: Action) -> bool:
    """Say whether a caller may do something with a service of ``owner``."""
    if caller is not None and (caller.admin or caller.owns(owner)):
        return True
    if action is Action.MANAGE:
        return False
    if access.public:
        return True
    if caller is None:
        return False
    return (
        access.everyone or caller.among(access.users) or not caller.groups.isdisjoint(access.groups)
    )


def resolve(name: str) -> str:
    """Return what an administrator can do about a name that another had before."""
    return (
        "An administrator can transfer the services to another user (easymlnb hub transfer "
        f"{name} NEW) or remove them (easymlnb hub remove-user {name})."
    )


def parse(data: bytes) -> Access:
    """Return what a request's body sets, with every name once, in order; raises ``BadRequest``."""
    try:
        found = msgspec.json.decode(data, type=Access)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(
            'Send the access rules as JSON, such as {"users": ["bob"], "groups": ["ml"], '
            f'"everyone": false, "public": false}} ({error}).'
        ) from error
    check_keys(data)
    return msgspec.structs.replace(found, users=_once(found.users), groups=_once(found.groups))


def _once(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
