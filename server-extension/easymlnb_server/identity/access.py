"""Access rules of services: users, groups and actions. Pure functions and records."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

import msgspec
from jupyter_server.auth.identity import User
from msgspec import UNSET, UnsetType

from easymlnb.contract.errors import BadRequest
from easymlnb.contract.json_values import decode_body
from easymlnb.contract.names import LONGEST
from easymlnb_server.identity.grants import KeyGrant
from easymlnb_server.identity.names import group_of

MAX_NAMES = 1000
"""Maximum number of users, and of groups, in the access rules of a service."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A logged-in caller; ``None`` is used for visitors without a login."""

    name: str
    groups: frozenset[str] = frozenset()
    admin: bool = False
    names: frozenset[str] | None = None
    """The names whose rights the caller has, if these are not just ``name``: several after a
    rename, none if another user had the name before."""
    key: KeyGrant | None = None
    """The API key of the request, which narrows the rights of its owner ``name``."""

    def owns(self, owner: str) -> bool:
        """Return whether the caller owns what belongs to ``owner``, a user or a group."""
        if (group := group_of(owner)) is not None:
            return group in self.groups
        return owner == self.name if self.names is None else owner in self.names

    def among(self, users: Collection[str]) -> bool:
        """Return whether one of these names is the caller's."""
        if self.names is None:
            return self.name in users
        return not self.names.isdisjoint(users)


@dataclass
class JupyterUser(User):
    """A logged-in user, with the groups and rights that the identity provider knows.

    Attributes
    ----------
    groups
        The names of the user's groups.
    admin
        Whether the user may manage all services.
    names
        See ``Caller``.
    """

    groups: frozenset[str] = frozenset()
    admin: bool = False
    names: frozenset[str] | None = None

    @property
    def caller(self) -> Caller:
        return Caller(self.username, self.groups, self.admin, self.names)


class Action(StrEnum):
    """What a caller wants to do with a service.

    - ``SEE``: find it in the catalog, and read its spec and pages.
    - ``CALL``: send values and get responses.
    - ``MANAGE``: read its log, notebook and bundles, publish versions, change its access rules.
    - ``OWN``: choose its maintainers, transfer it, remove it.
    """

    SEE = "see"
    CALL = "call"
    MANAGE = "manage"
    OWN = "own"


class Maintainers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may publish and manage a service, in addition to its owner and administrators."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_names(self.users, self.groups)


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may see and call a service, in addition to its owner and administrators.

    ``everyone`` means all users who can log in; ``public`` includes visitors without a login.
    ``maintainers`` are set separately.
    """

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    everyone: bool = False
    public: bool = False
    maintainers: Maintainers | UnsetType = UNSET

    def __post_init__(self) -> None:
        check_names(self.users, self.groups)

    def is_maintainer(self, caller: Caller) -> bool:
        """Return whether a caller may manage the service although it is another owner's."""
        found = self.maintainers
        return found is not UNSET and (
            caller.among(found.users) or not caller.groups.isdisjoint(found.groups)
        )

    def to_dict(self) -> dict[str, object]:
        found: dict[str, object] = msgspec.to_builtins(self)
        return found


def check_names(users: Collection[str], groups: Collection[str]) -> None:
    """Raise ``ValueError`` for invalid names of users or groups, or too many."""
    for kind, names in (("users", users), ("groups", groups)):
        if len(names) > MAX_NAMES:
            raise ValueError(f"at most {MAX_NAMES} {kind} can be listed; use a group instead")
        for name in names:
            if not 0 < len(name) <= LONGEST or not name.isprintable():
                raise ValueError(f"{kind} must be names with 1 to {LONGEST} printable characters")


PRIVATE = Access()
"""Access for the owner only, the default of a new service."""


SINGLE_USER = "user"
"""The owner key of calls with the server's own token, which has a single user."""

_USER_KEY = "user "
_PASS_KEY = "pass "


def owner_key(name: str) -> str:
    """Return the key of a user's calls and uploads."""
    return f"{_USER_KEY}{name}"


def pass_key(visitor: str) -> str:
    """Return the key of the uploads and jobs of a browser without a login."""
    return f"{_PASS_KEY}{visitor}"


def is_pass_key(key: str) -> bool:
    """Return whether a key is that of a browser without a login."""
    return key.startswith(_PASS_KEY)


def user_of_key(key: str) -> str | None:
    """Return the user of a key; ``None`` for the key of a visitor."""
    return key.removeprefix(_USER_KEY) if key.startswith(_USER_KEY) else None


class UserDirectory(Protocol):
    """Looks up the current rights of users, for work that lasts longer than a request."""

    async def find(self, name: str) -> Caller | None:
        """Return a user, cached for at most 30 s; ``None`` if the user can no longer log in."""

    def known(self, name: str) -> Caller | None:
        """Return a user if that needs no request, else ``None``."""


class SingleUserDirectory:
    """The directory of a personal server: each caller is its user and has all rights."""

    async def find(self, name: str) -> Caller | None:
        return self.known(name)

    @lru_cache(maxsize=16)  # noqa: B019 - there is one directory
    def known(self, name: str) -> Caller:
        return Caller(name, admin=True)


def is_allowed(caller: Caller | None, owner: str, access: Access, action: Action) -> bool:
    """Return whether a caller may do something with a service of ``owner``."""
    if caller is not None and (caller.admin or caller.owns(owner)):
        return True
    if action is Action.OWN:
        return False
    if caller is not None and access.is_maintainer(caller):
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


def transfer_advice(name: str) -> str:
    """Return advice for a name whose services belong to a former user of that name."""
    return (
        "An administrator can transfer the services to another user (easymlnb hub transfer "
        f"{name} NEW) or remove them (easymlnb hub remove-user {name})."
    )


_ACCESS_ADVICE = (
    'Send the access rules as JSON, such as {"users": ["bob"], "groups": ["ml"], '
    '"everyone": false, "public": false}'
)
_MAINTAINERS_ADVICE = 'Send the maintainers as JSON, such as {"users": ["bob"], "groups": ["ml"]}'


def parse_access(data: bytes) -> Access:
    """Decode the access rules of a request, with sorted unique names; raises ``BadRequest``."""
    access = decode_body(data, Access, _ACCESS_ADVICE)
    if access.maintainers is not UNSET:
        raise BadRequest("Set maintainers at services/{name}/maintainers, not with the access.")
    return msgspec.structs.replace(
        access, users=_unique(access.users), groups=_unique(access.groups)
    )


def _unique(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def parse_maintainers(data: bytes) -> Maintainers:
    """Decode the maintainers of a request, with sorted unique names; raises ``BadRequest``."""
    found = decode_body(data, Maintainers, _MAINTAINERS_ADVICE)
    return Maintainers(_unique(found.users), _unique(found.groups))
