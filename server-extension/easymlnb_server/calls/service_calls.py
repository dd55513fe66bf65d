"""Calls from one service to another, under the same checks as HTTP calls."""

import asyncio
import logging
import time
import uuid
from collections.abc import Coroutine
from typing import Any

import msgspec

from easymlnb.contract.errors import CallCancelled, Draining, EasyMLNBError, InternalError, NotReady
from easymlnb.contract.service_call_protocol import (
    CallService,
    CancelServiceCall,
    DescribeService,
    ServiceCallError,
    ServiceResult,
)
from easymlnb.contract.worker_protocol import Call, Item, Progress
from easymlnb_server.calls.record import note
from easymlnb_server.context import ServerContext
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.dispatch.call_chains import extend
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.identity.access import Action, label
from easymlnb_server.identity.names import full, plain
from easymlnb_server.services.registry import Target
from easymlnb_server.uploads.spool import SpooledFile

MOST = 1000
"""Questions of one kernel that may be open at once."""
ID_ROOM = 56
"""Characters of the outer call's request id that the inner one's begins with."""

log = logging.getLogger("easymlnb.asks")


class ServiceCalls:
    """The open questions of one kernel. ``owner`` is whose it is, in whose name it asks."""

    def __init__(self, state: ServerContext, link: WorkerLink, owner: str) -> None:
        self._state = state
        self._link = link
        self._owner = owner
        self._open: dict[int, asyncio.Task[None]] = {}
        # Answers in files that the kernel has not read yet.
        self._files: dict[int, SpooledFile] = {}

    def take(self, message: CallService | DescribeService | CancelServiceCall, body: bytes) -> None:
        if isinstance(message, CallService):
            self._begin(message.id, self._call(message, body))
        elif isinstance(message, DescribeService):
            self._begin(message.id, self._describe(message))
        else:
            self._forget(message.id)

    def _forget(self, id: int) -> None:
        """Stop a call, or let go of an answer that was read."""
        self._files.pop(id, None)
        task = self._open.get(id)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """The kernel is gone: nobody waits."""
        self._files.clear()
        for task in self._open.values():
            task.cancel()

    def _begin(self, id: int, work: Coroutine[Any, Any, None]) -> None:
        if id in self._open or len(self._open) >= MOST:
            work.close()
            self._deny(
                id,
                InternalError(
                    "This kernel has too many pending calls to other services. Wait until some of "
                    "them finish."
                ),
            )
            return
        task = self._open[id] = asyncio.create_task(self._guarded(id, work))
        task.add_done_callback(lambda done: self._open.pop(id, None))

    async def _guarded(self, id: int, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except EasyMLNBError as error:
            self._deny(id, error)
        except Exception:
            log.exception("A service's call of another service failed.")
            self._deny(id, InternalError())

    def _deny(self, id: int, error: EasyMLNBError) -> None:
        self._link.say(
            ServiceCallError(
                id=id,
                code=error.code,
                message=error.message,
                details=error.details,
                request_id=error.request_id,
            )
        )

    async def _find(self, name: str) -> Target:
        """Return who answers a name, as its owner may call it; raises ``ServiceNotFound``."""
        services = self._state.services
        if not services.shared:
            return services.target(name)
        if "/" not in name:
            name = full(self._owner, name)
        caller = await self._state.people.find(self._owner)
        return services.target_for(caller, name, Action.CALL)

    async def _describe(self, lookup: DescribeService) -> None:
        spec = (await self._find(lookup.service)).spec
        given = ServiceResult(id=lookup.id, content_type="application/json")
        # Callers need no page, and it may be large.
        found = msgspec.structs.replace(spec, app=None).to_dict()
        self._link.say(given, msgspec.json.encode(found))

    async def _call(self, ask: CallService, body: bytes) -> None:
        room = self._link.room
        large = FileBody(file=room.claim(ask.file)) if ask.file and room is not None else body
        outer = self._link.pending(ask.parent) if ask.parent else None
        if ask.parent and (outer is None or outer.answered.done()):
            raise CallCancelled
        if self._state.services.draining:
            raise Draining
        found: tuple[CallResult, bytes | SpooledFile] | None = None
        began = time.monotonic()
        while found is None:
            target = await self._find(ask.service)
            found = await self._run(ask, large, outer, target, began)
        answer, content = found
        if answer.result is None:
            raise answer.error or InternalError()
        result = answer.result
        if isinstance(content, SpooledFile) and room is None:
            content = content.read()
        given = ServiceResult(id=ask.id, content_type=result.content_type, filename=result.filename)
        if isinstance(content, SpooledFile):
            self._files[ask.id] = content
            given.file, content = str(content.path), b""
        self._link.say(given, content)

    async def _run(
        self, ask: CallService, body: Body, outer: CallHandle | None, target: Target, began: float
    ) -> tuple[CallResult, bytes | SpooledFile] | None:
        """Return the answer of one version; ``None`` if another took its place before."""
        spec, state = target.spec, self._state
        chain = extend(outer, self._link, target.name, target.pool.workers)
        items: list[bytes] = []

        def listen(message: Progress | Item, content: bytes) -> None:
            if isinstance(message, Item):
                items.append(content)
                target.pool.seen(pending, len(content))

        call = Call(
            id=0,
            service=plain(target.name),
            content_type=ask.content_type,
            accept="" if spec.stream else ask.accept,
            seconds=_seconds(ask, outer, target, began),
            request_id=_request_id(ask, outer),
        )
        patient = outer is not None and outer.patient
        pending = target.pool.submit(call, body, listen, spec=spec, patient=patient, chain=chain)
        pending.owner = label(self._owner)
        if outer is None or pending.deadline < outer.deadline:
            pending.limit = min(spec.timeout, ask.seconds or spec.timeout)
        series = state.metrics.series(spec.name, target.version)
        series.open.add(pending)
        state.activity.touch(target.kernel)

        def stop(outer: Any = None) -> None:
            pending.stop(CallCancelled())

        if outer is not None:
            outer.answered.add_done_callback(stop)
        try:
            answer = await asyncio.shield(pending.answered)
        except asyncio.CancelledError:
            stop()
            raise
        finally:
            if outer is not None:
                outer.answered.remove_done_callback(stop)
            series.open.discard(pending)
            state.activity.touch(target.kernel)
        stopped = not pending.started and isinstance(answer.error, NotReady)
        if stopped and state.services.replaced(target):
            return None
        whole = time.monotonic() - began
        told: dict[str, Any] = {"request_id": call.request_id, "headers": {}, "whole": whole}
        note(state, target, series, pending, answer, **told)
        if spec.stream and answer.error is None:
            return answer, b"[" + b",".join(items) + b"]"
        return answer, answer.body


def _seconds(ask: CallService, outer: CallHandle | None, target: Target, began: float) -> float:
    """Return how long the call may take: never longer than what waits for it."""
    now = time.monotonic()
    limits = [target.spec.timeout - (now - began)]
    if ask.seconds:
        limits.append(ask.seconds - (now - began))
    if outer is not None:
        limits.append(outer.deadline - now)
    return max(min(limits), 0.001)


def _request_id(ask: CallService, outer: CallHandle | None) -> str:
    if outer is None:
        return uuid.uuid4().hex
    return f"{outer.call.request_id[:ID_ROOM]}.{ask.id % 10**7}"
