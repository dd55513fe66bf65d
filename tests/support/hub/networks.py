"""A network of one machine: nodes with a host name and an address of their own, behind a bridge.

Needs root and iproute2. Each node is a network namespace that reaches this machine, by the bridge
where the Hub and its proxy answer, and neither another node nor this machine's loopback.
"""

import contextlib
import ipaddress
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import psutil

RANGE = ipaddress.ip_network("10.77.0.0/16")


def refusal() -> str:
    """Say why there can be no such network here; ``""`` when there can."""
    if os.getuid() != 0:
        return "Network namespaces need root."
    missing = [program for program in ("ip", "unshare") if shutil.which(program) is None]
    if missing:
        return f"Network namespaces need {' and '.join(missing)}: apt-get install iproute2"
    probe = Network(["probe"])
    try:
        probe.start()
    except subprocess.CalledProcessError as error:
        return f"This machine makes no network namespaces: {error.stderr.strip()}"
    finally:
        probe.stop()
    return ""


@dataclass
class Network:
    """One bridge, and a namespace for each of ``names``."""

    names: list[str]
    _bridge: str = field(default_factory=lambda: f"em{os.getpid():06x}{secrets.token_hex(1)}")

    @property
    def address(self) -> str:
        """The machine's own address in this network."""
        return str(self._net[1])

    def address_of(self, name: str) -> str:
        return str(self._net[10 + self.names.index(name)])

    def start(self) -> None:
        _clear()
        self._net = _free_network()
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for name in self.names:
            space, link = self._space(name), self._link(name)
            _ip("netns", "add", space)
            _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", link, "master", self._bridge, "up")
            _ip("link", "set", link, "type", "bridge_slave", "isolated", "on")
            _ip("-n", space, "addr", "add", f"{self.address_of(name)}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")

    def stop(self) -> None:
        """End what still runs in the namespaces, and take them and the links away."""
        for name in self.names:
            _remove(self._space(name))
        _quietly("link", "del", self._bridge)

    def command(self, name: str, *command: str) -> list[str]:
        """Return the command that runs another one on a node, under its host name."""
        enter = ["ip", "netns", "exec", self._space(name), "unshare", "--uts", "sh", "-c"]
        return [*enter, 'hostname "$0" && exec "$@"', name, *command]

    def cut(self, name: str) -> None:
        """Pull a node's cable."""
        _ip("link", "set", self._link(name), "down")

    def heal(self, name: str) -> None:
        """Put it back."""
        _ip("link", "set", self._link(name), "up")

    def _space(self, name: str) -> str:
        return f"{self._bridge}-{name}"

    def _link(self, name: str) -> str:
        return f"{self._bridge}-{self.names.index(name)}"


def _clear() -> None:
    """Remove what a run left that was killed before it could."""
    for line in _quietly("netns", "list").splitlines():
        space = line.split()[0]
        made = re.fullmatch(r"(em([0-9a-f]{6})[0-9a-f]{2})-\w+", space)
        if made and not psutil.pid_exists(int(made[2], 16)):
            _remove(space)
            _quietly("link", "del", made[1])


def _remove(space: str) -> None:
    """Remove a namespace with all that runs in it; its links go with it."""
    until = time.monotonic() + 10
    while (found := _processes(space)) and time.monotonic() < until:
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.05)
    _quietly("-n", space, "link", "del", "eth0")  # at once: the namespace may end a while later
    _quietly("netns", "del", space)


def _processes(space: str) -> list[psutil.Process]:
    found = []
    for pid in _quietly("netns", "pids", space).split():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(int(pid))
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _free_network() -> ipaddress.IPv4Network:
    links = json.loads(_ip("-j", "-4", "addr", "show"))
    taken = [
        ipaddress.ip_network(f"{one['local']}/{one['prefixlen']}", strict=False)
        for link in links
        for one in link["addr_info"]
    ]
    return next(net for net in _shuffled(RANGE) if not any(net.overlaps(one) for one in taken))


def _shuffled(whole: ipaddress.IPv4Network) -> Iterable[ipaddress.IPv4Network]:
    """Return the networks of a larger one by chance, so that two runs seldom choose the same."""
    nets = list(whole.subnets(new_prefix=24))
    secrets.SystemRandom().shuffle(nets)
    return nets


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def _quietly(*words: str) -> str:
    try:
        return _ip(*words)
    except (subprocess.SubprocessError, OSError):
        return ""
