"""Bridges at a mosquitto with TLS, passwords and an access control list."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from easymlnb_server.messaging.bridge import BridgeRunner
from easymlnb_server.messaging.calls import Answer
from easymlnb_server.messaging.manager import connect
from easymlnb_server.messaging.models import Bridge, ConnectionLost
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

    @asynccontextmanager
    async def running(self, bridge: Bridge) -> AsyncIterator[BridgeRunner]:
        runner = BridgeRunner("b", bridge, Echo(), connect)  # type: ignore[arg-type]
        task = asyncio.create_task(runner.run())
        await until(lambda: runner.state == "connected")
        yield runner
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def receive(self) -> Any:
        return await asyncio.to_thread(self.device.receive)

    async def send(self, body: bytes) -> None:
        await asyncio.to_thread(self.device.send, "in/1", body, {})


class Echo:
    async def call(self, name: str, bridge: Bridge, event: Any, message: Any) -> Answer:
        return Answer(message.body, "application/json")


@pytest.fixture
def world(tmp_path: Path) -> Any:
    for name in ("broker", "foreign"):
        (tmp_path / name).mkdir()
    make_certificates(tmp_path / "foreign")
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


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110 - a bridge has no event for its state
            await asyncio.sleep(0.02)


async def refusal(open_one: Callable[[], Awaitable[Any]]) -> str:
    with pytest.raises(ConnectionLost) as found:
        await open_one()
    return str(found.value)


# paho leaves the socket of a failed handshake to the garbage collection
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_who_is_refused_learns_why(world: World) -> None:
    good = world.bridge("ann", "password of ann")
    foreign = world.bridge("ann", "password of ann", ca_file=str(world.folder / "foreign/ca.pem"))
    plain = Bridge(
        url=world.url.replace("mqtts", "mqtt"), subject="a", service="f", dead_letters="d"
    )
    for bridge, expected in (
        (world.bridge("ann", "wrong"), "refused the login 'ann' (Not authorized). Check login"),
        (foreign, "is not trusted (certificate signature failure). Set ca_file"),
        (plain, "and whether it needs TLS"),
    ):
        assert expected in await refusal(lambda bridge=bridge: connect("b", bridge)), expected
    connection = await connect("b", good)
    await connection.close()


async def test_messages_are_answered_and_none_is_lost(world: World) -> None:
    async with world.running(world.bridge("ann", "password of ann")) as runner:
        await world.send(b"1")
        answer = await world.receive()
        assert (answer.topic, answer.payload) == ("reply", b"1")
        assert runner.state == "connected"
        await until(lambda: runner.in_flight == 0)  # it is acknowledged
    forbidden = world.bridge("ann", "password of ann", reply="other")
    async with world.running(forbidden) as runner:
        await world.send(b"2")
        letter = await world.receive()
        assert (letter.topic, letter.payload) == ("dead", b"2")
        assert dict(letter.properties.UserProperty)["easymlnb-error"] == "forbidden"
        await until(lambda: runner.in_flight == 0)
    no_letters = world.bridge("ann", "password of ann", reply="other", dead_letters="others")
    async with world.running(no_letters) as runner:
        await world.send(b"3")
        await until(lambda: "refused a message (Not authorized)" in runner.reason)
        assert runner.state == "waiting"
    async with world.running(world.bridge("ann", "password of ann")):
        answer = await world.receive()
        assert (answer.topic, answer.payload) == ("reply", b"3")
