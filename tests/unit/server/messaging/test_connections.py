"""Connections without the package or the broker that they need."""

import asyncio
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from easymlnb.contract.errors import NotReady
from easymlnb_server.messaging import bridge as bridge_module
from easymlnb_server.messaging.bridge import BridgeRunner
from easymlnb_server.messaging.manager import connect
from easymlnb_server.messaging.models import Bridge, ConnectionLost
from easymlnb_server.messaging.mqtt import MqttConnection
from easymlnb_server.messaging.refusals import kafka_problem, mqtt_refusal, not_connected
from support.brokers import refusing_kafka
from support.server import free_port


def bridge(url: str) -> Bridge:
    return Bridge(url=url, subject="in", service="f", dead_letters="dead")


@pytest.mark.parametrize(
    ("kind", "module", "extra"),
    [("mqtt", "paho.mqtt", "mqtt"), ("kafka", "aiokafka", "kafka")],
)
async def test_a_missing_package_is_named(
    kind: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotReady, match=rf"pip install 'easymlnb\[{extra}\]'"):
        await connect("b", bridge(f"{kind}://127.0.0.1:1"))


@pytest.mark.parametrize(("subject", "options"), [("in", 0b010101), ("$share/all/in", 0b010001)])
async def test_retained_and_own_messages_do_not_come_again(subject: str, options: int) -> None:
    pytest.importorskip("paho.mqtt")
    connection = MqttConnection("b", replace(bridge("mqtt://127.0.0.1:1"), subject=subject))
    made = connection._subscription()
    assert made.pack() == bytes([options])
    connection._client.subscribe(subject, options=made)  # without a connection: no exception
    await connection.close()


@pytest.mark.parametrize("kind", ["mqtt", "kafka"])
async def test_a_missing_password_file_is_named(kind: str) -> None:
    made = replace(bridge(f"{kind}://127.0.0.1:1"), login="me", password_file="/no/file")
    with pytest.raises(ConnectionLost, match=r"password_file '/no/file' cannot be read"):
        await connect("b", made)


@pytest.mark.parametrize("kind", ["mqtt", "kafka"])
async def test_a_broker_that_is_away_is_named(kind: str) -> None:
    with pytest.raises(ConnectionLost, match=r"does not respond.*Check the address"):
        await connect("b", bridge(f"{kind}://127.0.0.1:{free_port()}"))


@pytest.mark.parametrize("kind", ["mqtts", "kafkas"])
async def test_an_authority_that_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("")
    for file in (tmp_path / "missing.pem", empty):
        made = replace(bridge(f"{kind}://127.0.0.1:{free_port()}"), ca_file=str(file))
        with pytest.raises(ConnectionLost, match=f"ca_file '{file}' cannot be read.*PEM"):
            await connect("b", made)


# Not of MQTT: paho leaves the socket of a failed handshake to the garbage collection.
@pytest.mark.parametrize("kind", ["kafkas"])
async def test_a_broker_without_tls_is_named(kind: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"not TLS, but some bytes")
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionLost, match=f"does not use TLS.*or use {kind[:-1]}://"):
            await connect("b", bridge(f"{kind}://127.0.0.1:{port}"))


async def test_a_bridge_shows_that_kafka_refuses_its_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries again more and more rarely."""
    monkeypatch.setattr(bridge_module, "FIRST_RETRY", 0.01)
    password = tmp_path / "password"
    password.write_text("wrong")
    calls: Any = None
    async with refusing_kafka() as (broker, address):
        made = replace(bridge(f"kafka://{address}"), login="ann", password_file=str(password))
        runner = BridgeRunner("b", made, calls, connect)
        runner._retry_in = 0.01
        task = asyncio.create_task(runner.run())
        await asyncio.wait_for(broker.tried_again.wait(), 30)
        shown = runner.shown()
        assert shown.state == "waiting"
        assert shown.reason == (
            "Kafka refused the login 'ann' ([Error 58] SaslAuthenticationFailed: Invalid username "
            "or password). Check login, password_file and sasl_mechanism."
        )
        assert runner._retry_in >= 0.02
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with pytest.raises(ConnectionLost, match="does not accept the sasl_mechanism 'SCRAM-"):
            await connect("b", replace(made, sasl_mechanism="SCRAM-SHA-512"))


def test_a_broker_that_requires_a_certificate_is_named() -> None:
    error = ssl.SSLError()
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    found = not_connected(bridge("mqtts://127.0.0.1:1"), error)
    assert "must not require certificates of clients" in str(found)


@pytest.mark.parametrize(
    ("login", "code", "message"),
    [
        ("ann", 0x86, "refused the login 'ann' (wrong). Check login"),
        ("", 0x87, "refused a client without a login (wrong). Check login"),
        ("ann", 0x85, "refused the connection (wrong). Check group"),
    ],
)
def test_what_an_mqtt_broker_refuses_is_explained(login: str, code: int, message: str) -> None:
    class Code:
        value = code

        def __str__(self) -> str:
            return "wrong"

    assert message in mqtt_refusal(replace(bridge("mqtt://127.0.0.1:1"), login=login), Code())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("TopicAuthorizationFailedError", "login 'ann' may not write the topic 'dead'. Allow it"),
        ("GroupAuthorizationFailedError", "may not use the consumer group. Set group, or allow"),
        ("ClusterAuthorizationFailedError", "Allow IdempotentWrite in Kafka's access control"),
        ("UnknownTopicOrPartitionError", "Kafka has no topic 'dead'. Create it."),
        ("RequestTimedOutError", "The topic 'dead' of Kafka cannot be written"),
    ],
)
def test_what_kafka_refuses_is_explained(kind: str, message: str) -> None:
    errors = pytest.importorskip("aiokafka.errors")
    made = replace(bridge("kafka://a"), login="ann")
    assert message in str(kafka_problem(made, getattr(errors, kind)(), "write", "dead"))
