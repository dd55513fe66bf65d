"""Brokers of messages for tests: mosquitto, and the mock cluster of librdkafka."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from support.server import free_port

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@dataclass
class Mosquitto:
    """A broker of MQTT 5 on loopback, which keeps sessions on disk."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.folder}/\nautosave_on_changes true\n"
            "autosave_interval 1\nuser root\n"
        )
        assert MOSQUITTO is not None
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-c", config], stdout=log, stderr=log)
        until = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < until, (self.folder / "mosquitto.log").read_text()
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)


@contextmanager
def mosquitto(folder: Path) -> Iterator[Mosquitto]:
    """Run a broker; skips the test where mosquitto is not installed."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    broker = Mosquitto(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class Device:
    """A client of MQTT 5: it sends, and collects what arrives."""

    def __init__(self, broker: Mosquitto, *topics: str) -> None:
        self.arrived: Queue[Any] = Queue()
        subscribed: Queue[None] = Queue()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = lambda client, data, message: self.arrived.put(message)
        self._client.on_subscribe = lambda *given: subscribed.put(None)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        for topic in topics:
            self._client.subscribe(topic, qos=1)
            subscribed.get(timeout=20)

    def send(self, topic: str, body: bytes, user: dict[str, str], **more: Any) -> None:
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = list(user.items())
        for name, value in more.items():
            setattr(properties, name, value)
        self._client.publish(topic, body, qos=1, properties=properties).wait_for_publish(20)

    def receive(self, seconds: float = 60.0) -> Any:
        return self.arrived.get(timeout=seconds)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        if (open_socket := self._client.socket()) is not None:
            open_socket.close()
        # They lead back here, and would keep the client's other sockets open.
        self._client.on_message = self._client.on_subscribe = None


class MockKafka:
    """A Kafka on loopback, without Java: it lives as long as this object."""

    def __init__(self, *topics: str) -> None:
        from confluent_kafka import Producer

        self._producer = Producer({"test.mock.num.brokers": 1})
        found = self._producer.list_topics(timeout=20).brokers.values()
        self.address = ",".join(f"{one.host}:{one.port}" for one in found)
        for topic in topics:
            self._producer.list_topics(topic, timeout=20)

    def send(self, topic: str, body: bytes, headers: dict[str, str], key: bytes = b"") -> None:
        self._producer.produce(topic, body, key=key, headers=list(headers.items()))

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def consumer(self, *topics: str, group: str = "test") -> Any:
        from confluent_kafka import Consumer

        made = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        made.subscribe(list(topics))
        return made
