"""Brokers of messages for tests: mosquitto, and the mock cluster of librdkafka."""

import asyncio
import base64
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from support.server import free_port

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@dataclass
class Mosquitto:
    """A broker of MQTT 5 on loopback, which keeps sessions on disk.

    ``settings``: more lines of its configuration, which may replace ``allow_anonymous``.
    """

    folder: Path
    settings: str = "allow_anonymous true"
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\n{self.settings}\npersistence true\n"
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
def mosquitto(folder: Path, settings: str = "allow_anonymous true") -> Iterator[Mosquitto]:
    """Run a broker; skips the test where mosquitto is not installed."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    broker = Mosquitto(folder, settings)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def make_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Write an authority, and a certificate for 127.0.0.1 with its key, in PEM format."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in ("CA", "broker")]
    made = []
    for key, name, is_authority in zip(keys, names, (True, False), strict=True):
        builder = x509.CertificateBuilder(
            names[0], name, key.public_key(), x509.random_serial_number(),
            now - timedelta(days=1), now + timedelta(days=1),
        ).add_extension(x509.BasicConstraints(is_authority, None), critical=True)  # fmt: skip
        # Python 3.13 refuses certificates without these.
        for extension in (
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()),
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=is_authority, crl_sign=is_authority,
                content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, encipher_only=False, decipher_only=False,
            ),
        ):  # fmt: skip
            critical = isinstance(extension, x509.KeyUsage)
            builder = builder.add_extension(extension, critical=critical)
        if not is_authority:
            address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            builder = builder.add_extension(address, critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(Encoding.PEM))
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    contents = (*made, keys[1].private_bytes(*plain))
    paths = tuple(folder / name for name in ("ca.pem", "broker.pem", "broker.key"))
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths[0], paths[1], paths[2]


def add_password(file: Path, user: str, password: str) -> None:
    """Add a user to a password file of mosquitto."""
    salt, rounds = os.urandom(12), 101
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    texts = (base64.b64encode(one).decode() for one in (salt, digest))
    with file.open("a") as opened:
        opened.write(f"{user}:$7${rounds}${'$'.join(texts)}\n")


class RefusingKafka:
    """What a broker of Kafka says to a client until its login: it offers PLAIN, and refuses."""

    VERSIONS = ((17, 1, 1), (18, 0, 0), (36, 0, 0))

    def __init__(self) -> None:
        self.attempts = 0
        self.connections: list[asyncio.StreamWriter] = []
        self.tried_again = asyncio.Event()
        """A bridge tries each login twice, the second time for the reason."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                kind, _, number = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
                body = struct.pack(">i", number) + self._body(kind)
                writer.write(struct.pack(">i", len(body)) + body)
        writer.close()

    def _body(self, kind: int) -> bytes:
        if kind == 18:  # versions of its calls
            versions = (struct.pack(">hhh", *one) for one in self.VERSIONS)
            return struct.pack(">hi", 0, len(self.VERSIONS)) + b"".join(versions)
        if kind == 17:  # mechanisms
            return struct.pack(">hi", 0, 1) + _text("PLAIN")
        self.attempts += 1
        if self.attempts > 4:
            self.tried_again.set()
        return struct.pack(">h", 58) + _text("Invalid username or password") + struct.pack(">i", 0)


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


@asynccontextmanager
async def refusing_kafka() -> AsyncIterator[tuple[RefusingKafka, str]]:
    """Yield a Kafka that refuses all logins, and its address."""
    made = RefusingKafka()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield made, f"127.0.0.1:{port}"
        for writer in made.connections:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


class Device:
    """A client of MQTT 5: it sends, and collects what arrives.

    ``login``: user, password, and the file of the authority that signed the broker's certificate.
    """

    def __init__(
        self, broker: Mosquitto, *topics: str, login: tuple[str, str, str] | None = None
    ) -> None:
        self.arrived: Queue[Any] = Queue()
        subscribed: Queue[None] = Queue()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = lambda client, data, message: self.arrived.put(message)
        self._client.on_subscribe = lambda *given: subscribed.put(None)
        if login is not None:
            self._client.username_pw_set(*login[:2])
            self._client.tls_set(ca_certs=login[2])
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
