"""Run one input on one version, as a low-priority call."""

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec

from easymlnb.contract.errors import (
    Busy,
    Draining,
    EasyMLNBError,
    NotReady,
    StreamTooLarge,
    WorkerLost,
)
from easymlnb.contract.worker_protocol import Item, Progress
from easymlnb_server.calls.invoker import Invocation, Invoker, settle
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.comparisons.models import AnswerSummary
from easymlnb_server.dispatch.bodies import Body
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.identity.access import Caller, owner_key
from easymlnb_server.services.models import Target
from easymlnb_server.uploads.spool import SpooledFile

MAX_RESULT = 64 * 2**20
"""Bytes of a result that is compared."""

MAX_MESSAGE, MAX_TRACE = 300, 1500
"""Characters of the message of an error, and of its traceback."""

RETRY_SECONDS = 2.0
"""Seconds until a call is tried again that found no worker or no room."""

PATIENCE = 900.0
"""Seconds for which a call is tried again: a version without traffic starts its worker first."""

NOT_YET = (Busy, NotReady)
"""Errors that end when a worker is ready; ``WorkerLost`` and ``Draining`` are others."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The arguments of a call."""

    body: Body
    content_type: str


@dataclass(frozen=True, slots=True)
class VersionAnswer:
    """How a version answered: a summary, and the result as JSON."""

    summary: AnswerSummary
    value: Any = None


class VersionCaller:
    """Calls versions in the name of a service's owner."""

    def __init__(self, invoker: Invoker, patience: float = PATIENCE) -> None:
        self._invoker = invoker
        self._patience = patience

    async def call(self, service: str, owner: str, version: int, inputs: Inputs) -> VersionAnswer:
        """Run a call; errors of the call are part of the answer.

        Raises ``Draining`` if the server stops.
        """
        until = time.monotonic() + self._patience
        while True:
            try:
                return await self._once(service, owner, version, inputs)
            except (*NOT_YET, WorkerLost) as error:
                lost = isinstance(error, WorkerLost)
                if lost or time.monotonic() > until:
                    return _failed(error)
            except Draining:
                raise
            except EasyMLNBError as error:
                return _failed(error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _once(self, service: str, owner: str, version: int, inputs: Inputs) -> VersionAnswer:
        services = self._invoker.services
        await services.wake(service, str(version))
        now = time.monotonic()
        caller = Caller(owner) if services.shared else services.user
        items = _Items()
        request = CallRequest(
            service=service,
            body=inputs.body,
            content_type=inputs.content_type,
            caller=caller,
            owner=owner_key(owner),
            request_id=f"compare-{uuid.uuid4().hex}",
            received=now,
            began=now,
            version=str(version),
            low_priority=True,
            keep=False,
            # Like those of a shadow, these calls must not count as errors of the version.
            is_shadow=True,
        )
        result = await self._run(request, items)
        if result.error is not None:
            if result.failure is not None:
                return _failed(result.error, result.failure.trace)
            raise result.error
        return await asyncio.to_thread(_answer, result, items)

    async def _run(self, request: CallRequest, items: "_Items") -> CallResult:
        done: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        call = items.call = self._invoker.start(request, settle(done), items)
        try:
            return await done
        except asyncio.CancelledError:
            call.stop(Draining())
            raise


class _Items:
    """Collects the items of a stream."""

    def __init__(self) -> None:
        self.bodies: list[bytes] | None = None
        self.call: Invocation | None = None
        self._size = 0

    def on_accepted(self, target: Target) -> None:
        self.bodies = [] if target.spec.stream else None

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        if not isinstance(message, Item) or self.call is None or self.bodies is None:
            return
        self._size += len(body)
        if self._size > MAX_RESULT:
            self.call.stop(StreamTooLarge(MAX_RESULT))
            return
        self.bodies.append(body)
        self.call.acknowledge(len(body))


def _answer(result: CallResult, items: _Items) -> VersionAnswer:
    """Return the answer with its result decoded; runs in a thread."""
    assert result.result is not None
    seconds = round(result.result.seconds, 6)
    body = result.body
    if len(body) > MAX_RESULT:
        note = f"The result has more than {MAX_RESULT // 2**20} MB, too much to compare."
        return VersionAnswer(
            AnswerSummary(status=200, seconds=seconds, code="too_large", message=note)
        )
    try:
        data = body.read() if isinstance(body, SpooledFile) else body
    finally:
        if isinstance(body, SpooledFile):
            body.close()
    if items.bodies is not None:
        data = b"[" + b",".join(items.bodies) + b"]"
    summary = AnswerSummary(status=200, seconds=seconds)
    try:
        return VersionAnswer(summary, msgspec.json.decode(data) if data else None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return VersionAnswer(summary, data.decode("utf-8", "replace"))


def _failed(error: EasyMLNBError, trace: str = "") -> VersionAnswer:
    """Return the answer of a failed call, with the end of its traceback for the author."""
    message = error.message[:MAX_MESSAGE]
    if trace:
        message = f"{message}\n{trace[-MAX_TRACE:]}"
    return VersionAnswer(AnswerSummary(status=error.status, code=error.code, message=message))
