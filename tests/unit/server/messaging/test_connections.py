"""Connections without the package or the broker that they need."""

import sys

import pytest
from msgspec.structs import replace

from easymlnb.contract.errors import NotReady
from easymlnb_server.messaging.manager import connect
from easymlnb_server.messaging.models import Bridge, ConnectionLost
from easymlnb_server.messaging.mqtt import MqttConnection
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
    with pytest.raises(ConnectionLost, match=r"password file cannot be read.*/no/file"):
        await connect("b", made)


@pytest.mark.parametrize("kind", ["mqtt", "kafka"])
async def test_a_broker_that_is_away_is_named(kind: str) -> None:
    with pytest.raises(ConnectionLost, match="does not respond"):
        await connect("b", bridge(f"{kind}://127.0.0.1:{free_port()}"))
