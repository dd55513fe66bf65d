"""MQTT 5: at least once, with a session that the broker keeps while the server is away."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from easymlnb.contract.errors import Forbidden, NotReady
from easymlnb_server.messaging.models import (
    SHARED,
    Bridge,
    BrokerMessage,
    ConnectionLost,
    Outgoing,
    read_password,
)
from easymlnb_server.messaging.refusals import mqtt_refusal, not_connected, tls_context

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.subscribeoptions import SubscribeOptions

MISSING_PACKAGE = "A bridge to MQTT needs the package paho-mqtt: pip install 'easymlnb[mqtt]'."

SESSION = 7 * 86400
"""Seconds for which the broker keeps messages while the server is away."""

KEEPALIVE = 30
CONNECT_SECONDS = 15.0
UNRELIABLE = 1000
"""Waiting messages from which on more of QoS 0, which may be lost, are dropped."""

FIRST_FAILURE = 128
"""The lowest reason code of a failure."""

REFUSALS = (0x87, 0x90)
"""Reason codes of topics to which the bridge may not send, or that are invalid."""

log = logging.getLogger("easymlnb.messaging")


class MqttConnection:
    """A session with a broker. The library's thread hands everything to the event loop.

    The broker sends no more unacknowledged messages than the bridge's calls may run.
    """

    def __init__(self, name: str, bridge: Bridge) -> None:
        self._name = name
        self._bridge = bridge
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[BrokerMessage | None] = asyncio.Queue()
        self._sent: dict[int, asyncio.Future[None]] = {}
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._lost = ""
        self._client = self._make_client()

    @classmethod
    async def open(cls, name: str, bridge: Bridge) -> "MqttConnection":
        """Connect and subscribe; raises ``ConnectionLost`` or ``NotReady``."""
        connection = cls(name, bridge)
        try:
            await asyncio.to_thread(connection._connect)
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection._ready
        except (OSError, TimeoutError, ValueError) as error:
            await connection.close()
            raise not_connected(bridge, error) from error
        except BaseException:
            await connection.close()
            raise
        return connection

    async def receive(self) -> BrokerMessage:
        """Return the next message; raises ``ConnectionLost``."""
        message = None if self._lost else await self._arrived.get()
        if message is None:
            raise ConnectionLost(self._lost)
        return message

    async def publish(self, message: Outgoing) -> None:
        """Send a message with QoS 1; raises ``ConnectionLost``, or ``Forbidden`` for its topic."""
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [*message.attributes.items(), *message.headers.items()]
        if message.content_type:
            properties.ContentType = message.content_type
        if message.correlation:
            properties.CorrelationData = message.correlation
        if self._lost:
            raise ConnectionLost(self._lost)
        info = self._client.publish(message.subject, message.body, qos=1, properties=properties)
        if info.rc:
            raise ConnectionLost(f"A message could not be sent (code {info.rc}).")
        sent = self._sent[info.mid] = self._loop.create_future()
        await sent

    async def acknowledge(self, message: BrokerMessage) -> None:
        """Let the broker forget a message."""
        mid, qos = message.receipt
        if qos and not self._lost:
            self._client.ack(mid, qos)

    async def close(self) -> None:
        """Disconnect; what is not acknowledged is delivered to the next session."""
        self._end("The bridge was stopped.")
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        if (socket := self._client.socket()) is not None:  # the thread ended before it was closed
            socket.close()
        # They lead back here: without them, the client's other sockets are closed at once.
        for name in ("connect", "subscribe", "message", "publish", "disconnect"):
            setattr(self._client, f"on_{name}", None)

    # in the library's thread

    def _make_client(self) -> "Client":
        try:
            from paho.mqtt import client as mqtt
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise NotReady(MISSING_PACKAGE) from error
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._bridge.group or f"easymlnb-{self._name}",
            protocol=mqtt.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        return client

    def _connect(self) -> None:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        bridge, client = self._bridge, self._client
        if bridge.login:
            client.username_pw_set(bridge.login, read_password(bridge) or None)
        if bridge.encrypted:
            client.tls_set_context(tls_context(bridge))
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION
        properties.ReceiveMaximum = bridge.concurrency
        host, port = bridge.addresses[0]
        client.connect(host, port, KEEPALIVE, clean_start=False, properties=properties)
        client.loop_start()

    def _call(self, function: Any, *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def _on_connect(self, client: "Client", _: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._call(self._end, mqtt_refusal(self._bridge, code))
        else:
            client.subscribe(self._bridge.subject, options=self._subscription())

    def _subscription(self) -> "SubscribeOptions":
        """Return how to subscribe: retained messages come once, own messages not at all."""
        from paho.mqtt.subscribeoptions import SubscribeOptions

        return SubscribeOptions(
            qos=1,
            noLocal=not self._bridge.subject.startswith(SHARED),
            retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB,
        )

    def _on_subscribe(self, client: "Client", _: Any, mid: int, codes: Any, props: Any) -> None:
        failed = [code for code in codes if code.value >= FIRST_FAILURE]
        if failed:
            reason = f"The broker refused to subscribe to {self._bridge.subject!r} ({failed[0]}). "
            self._call(self._end, f"{reason}Allow it in the broker's access control list.")
        else:
            self._call(self._set_ready)

    def _on_message(self, client: "Client", _: Any, found: "MQTTMessage") -> None:
        self._call(self._take, found)

    def _on_publish(self, client: "Client", _: Any, mid: int, code: Any, properties: Any) -> None:
        failure: Exception | None = None
        if code.is_failure:
            kind = Forbidden if code.value in REFUSALS else ConnectionLost
            failure = kind(f"The broker refused a message ({code}). Check its rules for topics.")
        self._call(self._set_sent, mid, failure)

    def _on_disconnect(self, client: "Client", _: Any, flags: Any, code: Any, props: Any) -> None:
        hint = "" if self._ready.done() else " Check the address, and whether it needs TLS."
        self._call(self._end, f"The broker ended the connection ({code}).{hint}")

    # in the event loop

    def _set_ready(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def _take(self, found: "MQTTMessage") -> None:
        if not found.qos and self._arrived.qsize() >= UNRELIABLE:
            log.warning("The bridge %s dropped a message of QoS 0: too many wait.", self._name)
            return
        self._arrived.put_nowait(_message(found))

    def _set_sent(self, mid: int, failure: Exception | None) -> None:
        sent = self._sent.pop(mid, None)
        if sent is not None and not sent.done():
            if failure is not None:
                sent.set_exception(failure)
            else:
                sent.set_result(None)

    def _end(self, reason: str) -> None:
        """Mark the session as ended, and wake all waiting tasks."""
        if self._lost:
            return
        self._lost = reason
        self._arrived.put_nowait(None)
        for future in (self._ready, *self._sent.values()):
            if not future.done():
                future.set_exception(ConnectionLost(reason))
                future.exception()  # its caller may have left
        self._sent.clear()


def _message(found: "MQTTMessage") -> BrokerMessage:
    properties = found.properties
    given = getattr(properties, "UserProperty", None) or []
    return BrokerMessage(
        subject=found.topic,
        body=bytes(found.payload),
        content_type=getattr(properties, "ContentType", None) or "",
        headers={str(name).lower(): str(value) for name, value in given},
        reply=getattr(properties, "ResponseTopic", None) or "",
        correlation=getattr(properties, "CorrelationData", None) or b"",
        receipt=(found.mid, found.qos),
    )
