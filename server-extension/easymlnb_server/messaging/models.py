"""Data of bridges: configuration, messages, and the state that callers see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from easymlnb_server.identity.principals import parse_configured

Transport = Literal["mqtt", "kafka"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
SCHEMES = {"mqtt": ("mqtt", "mqtts"), "kafka": ("kafka", "kafkas")}
SHARED = "$share/"
"""Begins the subject of an MQTT subscription that several clients share."""


class Bridge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages of one subject become calls of one service.

    - ``url``: the broker, such as ``mqtts://broker:8883`` or ``kafka://a:9092,b:9092``
    - ``subject``: the topic that is read; in MQTT maybe with wildcards
    - ``service``, ``user``: what is called, and with whose rights; ``user`` only on a shared
      server, where ``service`` has its owner in its name
    - ``reply``: the topic of results and errors; empty for none
    - ``reply_to``: topics that messages may request for answers, such as ``plant/replies/#``
    - ``dead_letters``: the topic of messages that cannot be answered
    - ``content_type``: of messages that name none
    - ``concurrency``: calls that may run at a time
    - ``tries``: how often a message may fail before it is a dead letter
    - ``timeout``: seconds of a call; 0 for the service's own
    - ``group``: of consumers that share a Kafka topic, or the session's name at an MQTT broker
    - ``login``, ``password_file``, ``ca_file``: how to log in
    - ``sasl_mechanism``: how Kafka checks the password
    """

    url: str
    subject: str
    service: str
    dead_letters: str
    user: str = ""
    reply: str = ""
    reply_to: str = ""
    content_type: str = "application/json"
    accept: str = ""
    concurrency: Annotated[int, Meta(ge=1, le=1000)] = 4
    tries: Annotated[int, Meta(ge=1, le=100)] = 3
    timeout: Annotated[float, Meta(ge=0)] = 0.0
    group: str = ""
    login: str = ""
    password_file: str = ""
    ca_file: str = ""
    sasl_mechanism: SaslMechanism = "PLAIN"

    def __post_init__(self) -> None:
        for name in ("subject", "service", "dead_letters"):
            if not getattr(self, name):
                raise ValueError(f"{name} is missing")
        scheme = self.url.partition("://")[0]
        if scheme not in (known := [one for kind in SCHEMES.values() for one in kind]):
            raise ValueError(f"url must begin with one of {', '.join(known)}, not {self.url!r}")
        if "@" in self.url:
            raise ValueError("url must not have a login; set login and password_file")
        if not all(host for host, _ in self.addresses):
            raise ValueError(f"url has no host: {self.url!r}")
        if self.transport == "mqtt" and len(self.addresses) > 1:
            raise ValueError("url must have one host; only Kafka takes several")
        own = covers if self.transport == "mqtt" else str.__eq__
        for name in ("reply", "dead_letters"):
            topic = getattr(self, name)
            if topic and not is_topic(topic):
                raise ValueError(f"{name} must be one topic, without wildcards, not {topic!r}")
            if topic and own(self.read_filter, topic):
                raise ValueError(f"{name} must not be a topic that the bridge reads")
        if self.password_file and not self.login:
            raise ValueError("password_file needs a login")
        if self.ca_file and not self.encrypted:
            raise ValueError(f"ca_file is for TLS: use {self.transport}s:// in url")
        if self.sasl_mechanism != "PLAIN" and not (self.transport == "kafka" and self.login):
            raise ValueError("sasl_mechanism is for a login at Kafka")
        if self.reply_to and self.transport == "kafka":
            raise ValueError("reply_to is for MQTT; Kafka has no response topics")

    @property
    def transport(self) -> Transport:
        """The kind of broker."""
        return "mqtt" if self.url.startswith("mqtt") else "kafka"

    @property
    def encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.url.partition("://")[0] in ("mqtts", "kafkas")

    @property
    def read_filter(self) -> str:
        """The topics that are read, without the group of a shared MQTT subscription."""
        shared = self.transport == "mqtt" and self.subject.startswith(SHARED)
        return self.subject.split("/", 2)[-1] if shared else self.subject

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The hosts and ports of the broker."""
        default = {"mqtt": (1883, 8883), "kafka": (9092, 9093)}[self.transport][self.encrypted]
        hosts = urlsplit(self.url).netloc.split(",")
        parts = [urlsplit(f"//{host}") for host in hosts]
        return [(part.hostname or "", part.port or default) for part in parts]


def is_topic(name: str) -> bool:
    """Return whether a message can be sent to a topic of this name: it has no wildcards."""
    return not set(name) & {"+", "#", "\0"}


def covers(pattern: str, topic: str) -> bool:
    """Return whether an MQTT topic matches a filter with the wildcards ``+`` and ``#``."""
    parts, levels = pattern.split("/"), topic.split("/")
    if topic.startswith("$") and parts[0] in ("+", "#"):
        return False
    for number, part in enumerate(parts):
        if part == "#":
            return True
        if number >= len(levels) or part not in ("+", levels[number]):
            return False
    return len(parts) == len(levels)


def parse_bridges(configured: Mapping[str, Any], *, shared: bool) -> dict[str, Bridge]:
    """Return the bridges of a setting; raises ``ValueError`` that names the bridge."""
    return parse_configured(configured, Bridge, "bridge", shared=shared)


@dataclass(frozen=True, slots=True, eq=False)
class BrokerMessage:
    """A message of a broker.

    - ``headers``: attributes of its CloudEvent and other headers, by names in lower case
    - ``reply``: the topic that it names for its answer
    - ``correlation``: what its sender needs to match the answer
    - ``key``: the key of a Kafka record, whose answer gets the same
    - ``receipt``: what the transport needs to acknowledge it
    """

    subject: str
    body: bytes
    content_type: str
    headers: Mapping[str, str]
    reply: str = ""
    correlation: bytes = b""
    key: bytes | None = None
    receipt: Any = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for a broker.

    ``attributes`` are those of a CloudEvent, which each transport writes in its own way;
    ``headers`` are written as they are.
    """

    subject: str
    body: bytes
    content_type: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    correlation: bytes = b""
    key: bytes | None = None


def read_password(bridge: Bridge) -> str:
    """Return the password of a bridge, maybe an empty one; blocks. Raises ``ConnectionLost``."""
    try:
        return Path(bridge.password_file).read_text().strip() if bridge.password_file else ""
    except (OSError, ValueError) as error:
        raise ConnectionLost(
            f"The file password_file {bridge.password_file!r} cannot be read ({error})."
        ) from error


class Connection(Protocol):
    """A session with a broker; raises ``ConnectionLost`` when it has ended."""

    async def receive(self) -> BrokerMessage:
        """Return the next message, which is not acknowledged yet."""

    async def publish(self, message: Outgoing) -> None:
        """Send a message; return when the broker has it."""

    async def acknowledge(self, message: BrokerMessage) -> None:
        """Note that a message is done, and must not be delivered again."""

    async def close(self) -> None:
        """End the session."""


class ConnectionLost(Exception):
    """The broker is away, or refuses; the message says why."""


class BridgeShown(msgspec.Struct, kw_only=True):
    """A bridge as callers see it; counts are those since the server's start."""

    name: str
    transport: Transport
    broker: str
    subject: str
    service: str
    user: str
    reply: str
    dead_letters: str
    state: Annotated[str, Meta(description="`connected`, `waiting` with a reason, or `stopped`.")]
    reason: str
    in_flight: int
    received: int
    answered: int
    failed: Annotated[int, Meta(description="Messages that were answered with an error.")]
    retried: int
    dead: Annotated[int, Meta(description="Messages that were sent to the dead letters.")]


class BridgeList(msgspec.Struct, kw_only=True):
    """All bridges that the caller may see."""

    bridges: list[BridgeShown]
