"""One bridge: receive messages, run their calls, send the answers, acknowledge."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from easymlnb.contract.errors import EasyMLNBError, InternalError, TooLarge
from easymlnb_server.calls import cloudevents
from easymlnb_server.calls.cloudevents import CloudEvent
from easymlnb_server.messaging import rules
from easymlnb_server.messaging.calls import Answer, MessageCalls
from easymlnb_server.messaging.models import (
    Bridge,
    BridgeShown,
    BrokerMessage,
    Connection,
    ConnectionLost,
    Outgoing,
)
from easymlnb_server.messaging.rules import Verdict

FIRST_RETRY, LONGEST_RETRY = 0.5, 30.0
"""Seconds until the next connection: after the first loss, then doubled up to the longest.

Only a message that was answered, or a long session, starts again with the first.
"""

CONNECTED, WAITING, STOPPED = "connected", "waiting", "stopped"

Connect = Callable[[str, Bridge], Awaitable[Connection]]

log = logging.getLogger("easymlnb.messaging")


class BridgeRunner:
    """Runs one bridge until it is canceled.

    A message is acknowledged when the broker has its answer, so a loss of the connection or of the
    server delivers it again. No more messages are received than calls may run.
    """

    def __init__(self, name: str, bridge: Bridge, calls: MessageCalls, connect: Connect) -> None:
        self.name = name
        self.bridge = bridge
        self.state = STOPPED
        self.reason = ""
        self.counts: Counter[str] = Counter()
        self.in_flight = 0
        self._calls = calls
        self._connect = connect
        self._waiting = 0
        self._retry_in = FIRST_RETRY

    async def run(self) -> None:
        """Process messages until canceled; reconnect when the connection is lost."""
        try:
            while True:
                began = time.monotonic()
                self._has_to_wait(await self._run_session())
                if time.monotonic() - began > LONGEST_RETRY:
                    self._retry_in = FIRST_RETRY
                await asyncio.sleep(self._retry_in)
                self._retry_in = min(2 * self._retry_in, LONGEST_RETRY)
        finally:
            self.state, self.reason = STOPPED, ""

    async def _run_session(self) -> str:
        """Connect and process messages; return the reason for the end of the session."""
        lost: list[str] = []
        try:
            await self._session()
        except* (ConnectionLost, EasyMLNBError) as group:
            lost += [str(error) for error in _leaves(group)]
        except* Exception:
            log.exception("The bridge %s failed.", self.name)
            lost.append(InternalError().message)
        return lost[0] if lost else "The session ended."

    async def _session(self) -> None:
        connection = await self._connect(self.name, self.bridge)
        room = asyncio.Semaphore(self.bridge.concurrency)
        self.state, self.reason, self._waiting = CONNECTED, "", 0
        log.info("The bridge %s is connected to %s.", self.name, self.bridge.url)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await room.acquire()
                    message = await connection.receive()
                    self.counts["received"] += 1
                    group.create_task(self._handle(connection, message, room))
        finally:
            await connection.close()

    async def _handle(
        self, connection: Connection, message: BrokerMessage, room: asyncio.Semaphore
    ) -> None:
        self.in_flight += 1
        try:
            await self._carry(connection, message)
            await connection.acknowledge(message)
            self._retry_in = FIRST_RETRY
        finally:
            self.in_flight -= 1
            room.release()

    async def _carry(self, connection: Connection, message: BrokerMessage) -> None:
        """Run the call of a message, and send its answer, or a dead letter."""
        event = CloudEvent({}, b"", "")
        try:
            event = rules.event_of(message, self.bridge.content_type)
            answer = await self._call(event, message)
            await self._send_answer(connection, message, event, answer)
            self.counts["answered"] += 1
        except EasyMLNBError as error:
            error.request_id = error.request_id or rules.request_id(event)
            await self._send_error(connection, message, event, error)
        except ConnectionLost:
            raise
        except Exception:  # else it would come again in each session
            log.exception("The bridge %s failed at a message.", self.name)
            await self._send_error(connection, message, event, InternalError())

    async def _call(self, event: CloudEvent, message: BrokerMessage) -> Answer:
        """Run a call; retry it after temporary errors, and raise the final one."""
        tries = waits = 0
        while True:
            try:
                return await self._try(event, message)
            except EasyMLNBError as error:
                what = rules.verdict(error)
                tries += what is Verdict.RETRY
                if what is Verdict.GIVE_UP or tries >= self.bridge.tries:
                    raise
                if what is Verdict.WAIT:
                    waits += 1
                    await self._pause(error, waits)
                else:
                    self.counts["retried"] += 1
                    await asyncio.sleep(rules.pause(tries))

    async def _try(self, event: CloudEvent, message: BrokerMessage) -> Answer:
        try:
            return await self._calls.call(self.name, self.bridge, event, message)
        except EasyMLNBError:
            raise
        except Exception as error:
            log.exception("The bridge %s could not make a call.", self.name)
            raise InternalError() from error

    async def _pause(self, error: EasyMLNBError, waits: int) -> None:
        """Wait until the service can be called; other messages wait behind this one."""
        self._waiting += 1
        self._has_to_wait(error.message)
        try:
            await asyncio.sleep(rules.pause(waits))
        finally:
            self._waiting -= 1
            if not self._waiting and self.state == WAITING:
                self.state, self.reason = CONNECTED, ""

    async def _send_answer(
        self, connection: Connection, message: BrokerMessage, event: CloudEvent, answer: Answer
    ) -> None:
        topic = rules.reply_topic(self.bridge, message)
        if topic:
            attributes = cloudevents.answer(self.bridge.service, event.attributes)
            await connection.publish(
                _reply(topic, message, answer.body, answer.content_type, attributes)
            )

    async def _send_error(
        self,
        connection: Connection,
        message: BrokerMessage,
        event: CloudEvent,
        error: EasyMLNBError,
    ) -> None:
        """Send the message to the dead letters, and the error to the reply topic."""
        log.warning("The bridge %s sent a message to the dead letters: %s", self.name, error)
        letter = Outgoing(
            self.bridge.dead_letters,
            message.body,
            message.content_type,
            headers=rules.dead_headers(message, error),
            correlation=message.correlation,
            key=message.key,
        )
        try:
            await connection.publish(letter)
        except TooLarge:  # with its further headers, or for this topic
            log.error("The bridge %s sent a dead letter without its body: too large.", self.name)
            await connection.publish(replace(letter, body=b""))
        self.counts["dead"] += 1
        topic = rules.reply_topic(self.bridge, message)
        if topic:
            attributes = cloudevents.answer(self.bridge.service, event.attributes, error)
            body = cloudevents.error_body(error)
            try:
                await connection.publish(_reply(topic, message, body, cloudevents.JSON, attributes))
            except EasyMLNBError as refusal:  # the dead letter has the error, too
                log.warning("The bridge %s could not send an error: %s", self.name, refusal)
        self.counts["failed"] += 1

    def _has_to_wait(self, reason: str) -> None:
        if (self.state, self.reason) != (WAITING, reason):
            log.warning("The bridge %s waits. %s", self.name, reason)
        self.state, self.reason = WAITING, reason

    def shown(self) -> BridgeShown:
        """Return the bridge as callers see it."""
        bridge, counts = self.bridge, self.counts
        names = ("received", "answered", "failed", "retried", "dead")
        return BridgeShown(
            name=self.name,
            transport=bridge.transport,
            broker=",".join(f"{host}:{port}" for host, port in bridge.addresses),
            subject=bridge.subject,
            service=bridge.service,
            user=bridge.user,
            reply=bridge.reply,
            dead_letters=bridge.dead_letters,
            state=self.state,
            reason=self.reason,
            in_flight=self.in_flight,
            **{name: counts[name] for name in names},
        )


def _reply(
    topic: str, message: BrokerMessage, body: bytes, content_type: str, attributes: dict[str, str]
) -> Outgoing:
    return Outgoing(
        topic,
        body,
        content_type,
        attributes,
        correlation=message.correlation,
        key=message.key,
    )


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
