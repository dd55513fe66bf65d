"""Send a message to a URL: one request, to an address that was checked, without redirects."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address

import httpx

from easymlnb.contract.errors import BadRequest
from easymlnb_server.webhooks.hosts import Address, AllowedHosts, Destination
from easymlnb_server.webhooks.rules import DeliveryOutcome

TRY_SECONDS = 10.0
"""Maximum seconds of a try, with the look-up of the host."""

GONE = 410
"""The status with which a receiver says that it wants no more messages."""

Resolve = Callable[[str, int], Awaitable[list[Address]]]


async def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host; raises ``OSError``."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(entry[4][0]) for entry in found]


class HttpSender:
    """Sends messages to listed hosts.

    A host is looked up once for each try, and the request goes to the address that was checked: a
    name that gets another address meanwhile changes nothing.
    """

    def __init__(self, allowed: AllowedHosts, resolve: Resolve = resolve) -> None:
        self.allowed = allowed
        self._resolve = resolve
        self._tls: ssl.SSLContext | None = None

    async def find(self, url: str) -> tuple[Destination, list[Address]]:
        """Return where a URL leads, and its addresses; raises ``BadRequest`` if it may not."""
        target = self.allowed.check(url)
        try:
            addresses = await self._resolve(target.host, target.port)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise BadRequest(f"The host {target.host!r} cannot be found ({reason}).") from error
        for address in addresses:
            self.allowed.check_address(target, address)
        if not addresses:
            raise BadRequest(f"The host {target.host!r} has no address.")
        return target, addresses

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> DeliveryOutcome:
        """Send a message with one POST; any status of 200 to 299 is a success."""
        try:
            async with asyncio.timeout(TRY_SECONDS):
                target, addresses = await self.find(url)
                status = await self._post_to_one(url, target, addresses, headers, body)
        except TimeoutError:
            return DeliveryOutcome(error=f"There was no response within {TRY_SECONDS:g} s.")
        except BadRequest as error:
            return DeliveryOutcome(error=error.message)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return DeliveryOutcome(error=f"The request failed: {error or type(error).__name__}.")
        if 200 <= status < 300:
            return DeliveryOutcome(status)
        if 300 <= status < 400:
            return DeliveryOutcome(
                status, f"The response is a redirect ({status}), which is not followed."
            )
        return DeliveryOutcome(
            status, f"The response has the status {status}.", gone=status == GONE
        )

    async def _post_to_one(
        self,
        url: str,
        target: Destination,
        addresses: list[Address],
        headers: Mapping[str, str],
        body: bytes,
    ) -> int:
        """Send a message to the first address that accepts a connection."""
        for address in addresses[:-1]:
            with suppress(httpx.ConnectError):
                return await self._post(url, target, address, headers, body)
        return await self._post(url, target, addresses[-1], headers, body)

    async def _post(
        self,
        url: str,
        target: Destination,
        address: Address,
        headers: Mapping[str, str],
        body: bytes,
    ) -> int:
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        dialed = httpx.URL(url).copy_with(host=str(address), fragment=None)
        host = httpx.URL(url).netloc.decode()
        # No connection is used twice: another host may have the same address.
        async with (
            httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=TRY_SECONDS) as client,
            client.stream(
                "POST",
                dialed,
                headers={**headers, "Host": host},
                content=body,
                extensions={"sni_hostname": target.host},
                follow_redirects=False,
            ) as response,
        ):
            return response.status_code  # the body is not read
