"""Run the calls of messages, with the same checks as all other calls."""

import asyncio
import hashlib
import time
import uuid
from dataclasses import dataclass

from easymlnb.contract.errors import InternalError, NotReady, TooLarge
from easymlnb_server.calls.cloudevents import CloudEvent
from easymlnb_server.calls.idempotency import IdempotencyCache
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.calls.models import CallRequest, Entry
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.identity.principals import Principals
from easymlnb_server.messaging import rules
from easymlnb_server.messaging.models import Bridge, BrokerMessage
from easymlnb_server.uploads.spool import SpooledFile


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class MessageCalls:
    """Runs the calls of all bridges."""

    invoker: Invoker
    idempotency: IdempotencyCache
    principals: Principals

    async def call(
        self, name: str, bridge: Bridge, event: CloudEvent, message: BrokerMessage
    ) -> Answer:
        """Run the call of a message; raises why it failed or was refused.

        Events with the same source and id run once, for as long as their results are cached.
        """
        request = await self._request(bridge, event, message)
        if event.attributes:
            place = (request.owner, f"bridge {name} {bridge.service}", event.key)
            result = await self._run_once(place, request)
        else:
            result = await self.invoker.invoke(request)
        if result.result is None:
            raise result.error or InternalError()
        body = result.body
        if isinstance(body, SpooledFile):
            body = await asyncio.to_thread(body.read)
        return Answer(body, result.result.content_type)

    async def _request(
        self, bridge: Bridge, event: CloudEvent, message: BrokerMessage
    ) -> CallRequest:
        caller, owner = await self.principals.find(bridge.user)
        spec = self.invoker.find(bridge.service, caller).spec
        if spec.stream:
            raise NotReady(
                f"{bridge.service!r} is a streaming service, which a bridge cannot call. Set "
                "another service."
            )
        limit = self.invoker.quotas.max_body(bridge.service, caller, spec.max_body)
        if len(event.body) > limit:
            raise TooLarge(
                f"The message has {len(event.body):,} bytes; {bridge.service!r} accepts at most "
                f"{limit:,}."
            )
        now = time.monotonic()
        return CallRequest(
            service=bridge.service,
            body=event.body,
            content_type=event.content_type,
            accept=bridge.accept,
            caller=caller,
            owner=owner,
            request_id=rules.request_id(event) or uuid.uuid4().hex,
            headers=message.headers,
            received=now,
            began=now,
            timeout=bridge.timeout or float("inf"),
            entry=Entry.BROKER,
        )

    async def _run_once(self, place: tuple[str, ...], request: CallRequest) -> CallResult:
        assert isinstance(request.body, bytes)
        digest = hashlib.sha256(f"{request.content_type}\n".encode() + request.body).digest()
        once, is_new = self.idempotency.join(place, digest)
        if is_new:
            return await self.idempotency.run(once, self.invoker.invoke(request))
        try:
            return await asyncio.shield(once.result)
        finally:
            if not once.result.done():
                once.leave()
