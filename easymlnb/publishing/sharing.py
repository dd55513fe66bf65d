"""``f.share(groups=["ml"])``: who may call what is published on a Hub's shared service."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from easymlnb.client import Client, hub
from easymlnb.client.sharing import wanted
from easymlnb.contract import names
from easymlnb.contract.access_text import describe_access
from easymlnb.contract.errors import EasyMLNBError, ServiceNotFound
from easymlnb.contract.options import named_options


@dataclass(frozen=True, slots=True, repr=False)
class ServiceAccess:
    """Who may call a service beside its owner and the Hub's administrators.

    ``everyone`` means everybody who can log in to the Hub, ``public`` also those who cannot.
    ``app`` is the address of its page, to send to them.
    """

    service: str
    users: tuple[str, ...]
    groups: tuple[str, ...]
    everyone: bool
    public: bool
    app: str

    def __repr__(self) -> str:
        said = describe_access(self.service, self.to_dict())
        shared = self.users or self.groups or self.everyone or self.public
        return f"{said} Its page: {self.app}" if shared else said

    def to_dict(self) -> dict[str, Any]:
        """Return what the server keeps."""
        return {
            "users": list(self.users),
            "groups": list(self.groups),
            "everyone": self.everyone,
            "public": self.public,
        }


@named_options
def share(
    service: str,
    *,
    users: Iterable[str] | None = None,
    groups: Iterable[str] | None = None,
    everyone: bool | None = None,
    public: bool | None = None,
    url: str | None = None,
    token: str | None = None,
) -> ServiceAccess:
    """Let these call a published service, and nobody else; with none of them, say who may.

    users, groups: names at the Hub. everyone: all who can log in there. public: also those who
        cannot. What is not said is nobody; what was set before does not count any more.
    url, token: the server; default: the Hub's shared service.

    It is in effect within a minute, for what runs as well.

    Raises ``TypeError`` for what are no names, and ``EasyMLNBError`` with what to do where the
    service is not published or where nothing can be shared.
    """
    asked = [users, groups, everyone, public]
    body = None
    if any(one is not None for one in asked):
        body = wanted(users or (), groups or (), everyone or False, public or False)
    found = hub.server(url, token)
    with Client(found) as client:
        full = client.full_name(service)
        try:
            told = client.access(full) if body is None else client.share(full, **body)
        except ServiceNotFound as error:
            raise EasyMLNBError(
                f"{service} is not published on the Hub's shared service, so it cannot be "
                f"shared. Publish it first: {names.split(service)[1]}.publish()"
            ) from error
    way = "public" if told["public"] else "apps"
    app = f"{hub.address(found)}{way}/{names.url_path(full)}"
    users, groups = tuple(told["users"]), tuple(told["groups"])
    return ServiceAccess(full, users, groups, told["everyone"], told["public"], app)


@named_options
def unshare(service: str, *, url: str | None = None, token: str | None = None) -> ServiceAccess:
    """Keep a published service to its owner again; ``url`` and ``token`` as for ``share``."""
    return share(service, users=(), url=url, token=token)
