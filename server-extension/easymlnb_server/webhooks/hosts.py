"""Where webhooks may lead: hosts that the administrator lists, and no private addresses. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

from easymlnb.contract.errors import BadRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAT64 = IPv6Network("64:ff9b::/96")
"""IPv6 addresses that contain an IPv4 address."""

SCHEMES = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Destination:
    """The parts of a URL that decide where a request goes."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """The entries of ``webhook_hosts``: names, ``*.names``, addresses and networks."""

    names: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def parse(cls, entries: Iterable[str]) -> "AllowedHosts":
        """Return the hosts of a setting; raises ``ValueError`` for an invalid entry."""
        names: set[str] = set()
        networks: list[Network] = []
        for entry in entries:
            text = entry.strip().lower().rstrip(".")
            try:
                networks.append(ip_network(text, strict=False))
                continue
            except ValueError:
                name = text.removeprefix("*.")
            if not name or "*" in name or "/" in name or ":" in name:
                raise ValueError(
                    f"{entry!r} is not a host: use a name, '*.name', an IP address or a network"
                )
            names.add(text)
        return cls(frozenset(names), tuple(networks))

    def lists(self, address: Address) -> bool:
        """Return whether an address is in a network of the setting."""
        return any(
            address in network for network in self.networks if network.version == address.version
        )

    def check(self, url: str) -> Destination:
        """Return the destination of a URL whose host is listed; raises ``BadRequest``."""
        found = destination(url)
        try:
            listed = self.lists(ip_address(found.host))
        except ValueError:
            parents = found.host.split(".")
            wildcards = {f"*.{'.'.join(parents[n:])}" for n in range(1, len(parents))}
            listed = found.host in self.names or not wildcards.isdisjoint(self.names)
        if not listed:
            raise BadRequest(
                f"Webhooks to the host {found.host!r} are not allowed. The administrator of this "
                "server can add it to EasyMLNB.webhook_hosts."
            )
        return found

    def check_address(self, target: Destination, address: Address) -> None:
        """Raise ``BadRequest`` if a host has an address that must not be called."""
        if self.lists(address):
            return
        if not is_public(address):
            raise BadRequest(
                f"The host {target.host!r} has the private address {address}. Webhooks call "
                "private addresses only if EasyMLNB.webhook_hosts lists them."
            )
        if target.scheme != "https":
            raise BadRequest(
                f"Webhooks to {target.host!r} must use https; http is only for addresses that "
                "EasyMLNB.webhook_hosts lists."
            )


def destination(url: str) -> Destination:
    """Return where a URL leads; raises ``BadRequest`` for one that is no URL of a webhook."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise BadRequest(f"Invalid URL of a webhook: {error}.") from error
    if parts.scheme not in SCHEMES or not host or not url.isascii() or not url.isprintable():
        raise BadRequest(
            "The URL of a webhook must be such as 'https://hooks.example.org/jobs', or "
            "'mailto:ann@example.org'."
        )
    if parts.username is not None or parts.password is not None or " " in url:
        raise BadRequest("The URL of a webhook must not contain a user name or spaces.")
    return Destination(parts.scheme, host, port or SCHEMES[parts.scheme])


def is_public(address: Address) -> bool:
    """Return whether an address is one of the internet, also the one inside of it."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast
