"""Ports for servers of tests."""

import contextlib
import random
import socket

LOWEST, HIGHEST = 12_000, 32_000
"""Below the ports that Linux gives to clients: one of those could take a port before its server."""

# Not the global one, which hypothesis seeds: parts of the suite run at the same time.
_RANDOM = random.SystemRandom()


def free_port(address: str = "127.0.0.1") -> int:
    return free_ports(1, address)[0]


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            port = _RANDOM.randrange(LOWEST, HIGHEST)
            with contextlib.suppress(OSError):
                probe.bind((address, port))
                found.append(port)
    return found
