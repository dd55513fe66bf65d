"""``f.share(groups=["ml"])``: who can call a service on a Hub's shared service."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from easymlnb.client import Client, hub
from easymlnb.client.admin import access_body
from easymlnb.contract import names
from easymlnb.contract.access_text import describe_access
from easymlnb.contract.errors import EasyMLNBError, ServiceNotFound
from easymlnb.contract.options import named_options
from easymlnb.publishing import addresses


@dataclass(frozen=True, slots=True, repr=False)
class ServiceAccess:
    """Who can call a service besides its owner and the Hub's administrators.

    everyone: all users who can log in to the Hub.
    public: also visitors without a login.
    app: the URL of the service's app page, to send to these people.
    """

    service: str
    users: tuple[str, ...]
    groups: tuple[str, ...]
    everyone: bool
    public: bool
    app: str

    def __repr__(self) -> str:
        access = self.to_dict()
        text = describe_access(self.service, access)
        return f"{text} Its page: {self.app}" if any(access.values()) else text

    def to_dict(self) -> dict[str, Any]:
        """Return the setting as the server stores it."""
        return {name: getattr(self, name) for name in ("users", "groups", "everyone", "public")}


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
    """Replace the access to a published service; without arguments, return it.

    The parameters are those of ``ServiceFunction.share``. The setting takes effect within a minute,
    also for running calls and open pages.

    Raises ``TypeError`` for invalid names, and ``EasyMLNBError`` with what to do if the service is
    not published or the server has no access settings.
    """
    body = None
    if any(given is not None for given in (users, groups, everyone, public)):
        body = access_body(users or (), groups or (), everyone or False, public or False)
    server = hub.publish_target(url, token)
    with Client(server) as client:
        admin = client.admin
        full = admin.full_name(service)
        try:
            access = admin.access(full) if body is None else admin.share(full, **body)
        except ServiceNotFound as error:
            raise EasyMLNBError(
                f"{service} is not published on the Hub's shared service, so it cannot be "
                f"shared. Publish it first: {names.split(service)[1]}.publish()"
            ) from error
    urls = addresses.for_service(server, full, public=access["public"])
    listed = tuple(access["users"]), tuple(access["groups"])
    return ServiceAccess(
        full, *listed, access["everyone"], access["public"], urls.public or urls.app
    )


@named_options
def unshare(service: str, *, url: str | None = None, token: str | None = None) -> ServiceAccess:
    """Restrict a published service to its owner again; ``url`` and ``token`` as for ``share``."""
    return share(service, users=(), url=url, token=token)
