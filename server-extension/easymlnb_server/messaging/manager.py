"""All bridges of a server; only the active process runs them."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from easymlnb.contract.errors import BridgeNotFound
from easymlnb_server.identity.access import Caller
from easymlnb_server.messaging.bridge import BridgeRunner
from easymlnb_server.messaging.calls import MessageCalls
from easymlnb_server.messaging.kafka import KafkaConnection
from easymlnb_server.messaging.models import Bridge, Connection
from easymlnb_server.messaging.mqtt import MqttConnection
from easymlnb_server.supervisor import Supervisor

COUNTED = ("received", "answered", "failed", "retried", "dead")


class Bridges:
    """The bridges that the administrator has configured."""

    def __init__(self, bridges: Mapping[str, Bridge], calls: MessageCalls, *, shared: bool) -> None:
        self._shared = shared
        self.runners = {
            name: BridgeRunner(name, bridge, calls, connect) for name, bridge in bridges.items()
        }

    async def run(self) -> None:
        """Run all bridges, until canceled."""
        supervisor = Supervisor()
        for name, runner in self.runners.items():
            supervisor.run(f"bridge {name}", runner.run)
        try:
            await asyncio.Event().wait()
        finally:
            await supervisor.close()

    def visible(self, caller: Caller | None) -> Iterator[BridgeRunner]:
        """Yield the bridges that a caller may see: the own ones, and all for administrators."""
        for _, runner in sorted(self.runners.items()):
            own = caller is not None and (
                not self._shared or caller.admin or caller.owns(runner.bridge.user)
            )
            if own:
                yield runner

    def get(self, name: str, caller: Caller | None) -> BridgeRunner:
        """Return a bridge that a caller may see; raises ``BridgeNotFound``."""
        for runner in self.visible(caller):
            if runner.name == name:
                return runner
        raise BridgeNotFound(name)

    def samples(self) -> Iterable[tuple[tuple[str, ...], int]]:
        """Yield the counts by bridge and kind, for metrics."""
        for name, runner in self.runners.items():
            for kind in COUNTED:
                yield (name, kind), runner.counts[kind]


async def connect(name: str, bridge: Bridge) -> Connection:
    """Connect a bridge to its broker; raises ``ConnectionLost`` or ``NotReady``."""
    if bridge.transport == "mqtt":
        return await MqttConnection.open(name, bridge)
    return await KafkaConnection.open(name, bridge)
