"""Bridges at a mosquitto with TLS, passwords and an access control list."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from easymlnb_server.messaging.manager import connect
from easymlnb_server.messaging.models import Bridge, ConnectionLost, Outgoing
from support.brokers import Device, add_password, make_certificates, mosquitto

pytestmark = pytest.mark.slow

RULES = """
user ann
topic read in/#
topic readwrite reply
topic readwrite dead
user device
topic readwrite #
"""


@dataclass
class World:
    """A broker, and bridges whose calls return what they got."""

    folder: Path
    url: str
    device: Device

    def bridge(self, login: str, password: str, **values: Any) -> Bridge:
        file = self.folder / f"{login}-{password}"
        file.write_text(f"{password}\n")
        common = {"subject": "in/#", "service": "f", "reply": "reply", "dead_letters": "dead"}
        common |= {"url": self.url, "ca_file": str(self.folder / "ca.pem"), "login": login}
        return Bridge(**(common | {"password_file": str(file)} | values))

    async def receive(self, topic: str, body: bytes) -> Any:
        """Return this message; a session that ended before its acknowledgment repeats others."""
        while True:
            found = await asyncio.to_thread(self.device.receive)
            if (found.topic, found.payload) == (topic, body):
                return found

    async def send(self, body: bytes) -> None:
        await asyncio.to_thread(self.device.send, "in/1", body, {})


@pytest.fixture
def world(tmp_path: Path) -> Any:
    (tmp_path / "broker").mkdir()
    authority, certificate, key = make_certificates(tmp_path)
    passwords, rules = tmp_path / "passwords", tmp_path / "rules"
    for user in ("ann", "device"):
        add_password(passwords, user, f"password of {user}")
    rules.write_text(RULES)
    settings = (
        f"cafile {authority}\ncertfile {certificate}\nkeyfile {key}\nallow_anonymous false\n"
        f"password_file {passwords}\nacl_file {rules}"
    )
    with mosquitto(tmp_path / "broker", settings) as broker:
        login = ("device", "password of device", str(authority))
        device = Device(broker, "reply", "dead", login=login)
        yield World(tmp_path, broker.url.replace("mqtt", "mqtts"), device)
        device.close()


async def refusal(open_one: Callable[[], Awaitable[Any]]) -> str:
    with pytest.raises(ConnectionLost) as found:
        await open_one()
    return str(found.value)


async def test_who_is_refused_learns_why(world: World) -> None:
    good = world.bridge("ann", "password of ann")
    plain = Bridge(
        url=world.url.replace("mqtts", "mqtt"), subject="a", service="f", dead_letters="d"
    )
    for bridge, expected in (
        (world.bridge("ann", "wrong"), "refused the login 'ann' (Not authorized). Check login"),
        (plain, "and whether it needs TLS"),
    ):
        assert expected in await refusal(lambda bridge=bridge: connect("b", bridge)), expected
    connection = await connect("b", good)
    await world.send(b"1")
    async with asyncio.timeout(30):
        message = await connection.receive()
        await connection.publish(Outgoing("reply", message.body, "application/json"))
    await world.receive("reply", b"1")
    await connection.close()
