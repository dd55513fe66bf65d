"""Kafka: a group of consumers; offsets are committed when the answers are stored."""

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from easymlnb.contract.errors import NotReady, TooLarge
from easymlnb_server.messaging.models import (
    Bridge,
    BrokerMessage,
    ConnectionLost,
    Outgoing,
    read_password,
)
from easymlnb_server.messaging.offsets import Offsets
from easymlnb_server.messaging.refusals import (
    kafka_problem,
    kafka_refusal,
    not_connected,
    tls_context,
)

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

MISSING_PACKAGE = "A bridge to Kafka needs the package aiokafka: pip install 'easymlnb[kafka]'."

LONGEST_CALL = 3600.0
"""Seconds that a bridge without a timeout may be busy before its group continues without it."""

CLOSE_SECONDS = 5.0
PROBE_MS = 5000

PREFIX = "ce_"
"""Begins the names of headers that are attributes of an event."""


class KafkaConnection:
    """A consumer of one topic, and a producer."""

    def __init__(
        self, consumer: "AIOKafkaConsumer", producer: "AIOKafkaProducer", bridge: Bridge
    ) -> None:
        self._consumer = consumer
        self._producer = producer
        self._bridge = bridge
        self._offsets: defaultdict[Any, Offsets] = defaultdict(Offsets)
        self._committing = asyncio.Lock()

    @classmethod
    async def open(cls, name: str, bridge: Bridge) -> "KafkaConnection":
        """Connect and subscribe; raises ``ConnectionLost`` or ``NotReady``."""
        try:
            from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
            from aiokafka.errors import KafkaError
        except ImportError as error:
            raise NotReady(MISSING_PACKAGE) from error
        common = await asyncio.to_thread(_common, bridge)
        longest = max(300.0, 2 * (bridge.timeout or LONGEST_CALL / 2))
        consumer = AIOKafkaConsumer(
            bridge.subject,
            group_id=bridge.group or f"easymlnb-{name}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_interval_ms=int(longest * 1000),
            **common,
        )
        producer = AIOKafkaProducer(acks="all", enable_idempotence=True, **common)
        connection = cls(consumer, producer, bridge)
        try:
            await connection._start()
        except (KafkaError, OSError) as error:
            await connection.close()
            raise await _reason(bridge, common, error) from error
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _start(self) -> None:
        """Join the group; raises ``ConnectionLost`` for a topic that is not there."""
        await self._producer.start()
        await self._consumer.start()
        topic = self._bridge.subject
        if topic not in await self._consumer.topics():
            raise ConnectionLost(
                f"Kafka has no topic {topic!r} that the bridge may read. Create it, or allow "
                "reading it."
            )

    async def receive(self) -> BrokerMessage:
        """Return the next record; raises ``ConnectionLost``."""
        from aiokafka import TopicPartition
        from aiokafka.errors import KafkaError

        try:
            record = await self._consumer.getone()
        except KafkaError as error:
            raise kafka_problem(self._bridge, error, "read", self._bridge.subject) from error
        partition = TopicPartition(record.topic, record.partition)
        self._offsets[partition].receive(record.offset)
        # A header may have no value.
        headers = {
            name.lower(): (value or b"").decode("utf-8", "replace")
            for name, value in record.headers
        }
        return BrokerMessage(
            subject=record.topic,
            body=record.value or b"",
            content_type=headers.pop("content-type", ""),
            headers=headers,
            key=record.key,
            receipt=(partition, record.offset),
        )

    async def publish(self, message: Outgoing) -> None:
        """Send a record; raises ``ConnectionLost``, or ``TooLarge`` for one Kafka refuses."""
        from aiokafka.errors import KafkaError, MessageSizeTooLargeError

        names = {f"{PREFIX}{name}": value for name, value in message.attributes.items()}
        headers = [(name, text.encode()) for name, text in {**names, **message.headers}.items()]
        if message.content_type:
            headers.append(("content-type", message.content_type.encode()))
        try:
            await self._producer.send_and_wait(
                message.subject, message.body, key=message.key, headers=headers
            )
        except MessageSizeTooLargeError as error:
            size = len(message.body)
            raise TooLarge(f"The message of {size:,} bytes is too large for Kafka.") from error
        except KafkaError as error:
            raise kafka_problem(self._bridge, error, "write", message.subject) from error

    async def acknowledge(self, message: BrokerMessage) -> None:
        """Commit all records up to the first that is not done."""
        from aiokafka.errors import KafkaError

        partition, offset = message.receipt
        offsets = self._offsets[partition]
        if offsets.finish(offset) is None:
            return
        async with self._committing:
            try:
                await self._consumer.commit({partition: offsets.position})
            except KafkaError as error:  # such as a partition that another consumer has now
                raise ConnectionLost(f"The offset cannot be committed ({error}).") from error

    async def close(self) -> None:
        """Leave the group; what is not committed is delivered again."""
        stopping = (self._consumer.stop(), self._producer.stop())
        with suppress(TimeoutError):  # a broker that is away does not answer
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*stopping, return_exceptions=True)


async def _reason(bridge: Bridge, options: dict[str, Any], error: Exception) -> ConnectionLost:
    """Return why the start failed; connects once more for what aiokafka only logs."""
    from aiokafka.conn import create_conn
    from aiokafka.errors import KafkaError

    if refusal := kafka_refusal(bridge, error, "read", bridge.subject):
        return refusal
    host, port = bridge.addresses[0]
    known = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    try:
        connection = await create_conn(host, port, request_timeout_ms=PROBE_MS, **known)
    except KafkaError as found:
        refusal = kafka_refusal(bridge, found, "read", bridge.subject)
        return refusal or not_connected(bridge, found)
    except (OSError, TimeoutError) as found:
        return not_connected(bridge, found)
    connection.close()
    return not_connected(bridge, error)


def _common(bridge: Bridge) -> dict[str, Any]:
    """Return the options of the consumer and of the producer; blocks."""
    options: dict[str, Any] = {
        "bootstrap_servers": [f"{host}:{port}" for host, port in bridge.addresses]
    }
    if bridge.encrypted:
        options["ssl_context"] = tls_context(bridge)
    protocol = "SSL" if bridge.encrypted else "PLAINTEXT"
    if bridge.login:
        options |= {
            "sasl_mechanism": bridge.sasl_mechanism,
            "sasl_plain_username": bridge.login,
            "sasl_plain_password": read_password(bridge),
        }
        protocol = f"SASL_{protocol}"
    return options | {"security_protocol": protocol}
