"""Calls from one service to another, under the same checks as HTTP calls."""

import asyncio
import logging
import time
import uuid
from collections.abc import Coroutine
from typing import Any

import msgspec

from easymlnb.contract.errors import CallCancelled, EasyMLNBError, InternalError
from easymlnb.contract.service_call_protocol import (
    CallService,
    CancelServiceCall,
    DescribeService,
    ServiceCallError,
    ServiceResult,
)
from easymlnb.contract.worker_protocol import Item, Progress
from easymlnb_server.calls.invoker import Invocation, Invoker, settle
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.dispatch.bodies import FileBody
from easymlnb_server.dispatch.call import CallHandle, CallResult
from easymlnb_server.dispatch.call_chains import extend
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.identity.access import Action, Caller, UserDirectory, owner_key
from easymlnb_server.identity.names import qualified_name
from easymlnb_server.services.models import Target
from easymlnb_server.uploads.spool import SpooledFile

MOST = 1000
"""Maximum number of pending calls of one kernel."""
ID_ROOM = 56
"""Characters of the outer call's request id at the start of the inner call's id."""

AFTER_OUTER = 0.1
"""Seconds that a call may take beyond the deadline of the call that waits for it.

Without them both could end in the same moment, and the caller would sometimes see that the
outer function failed, instead of that its time is over, which also stops the inner call.
"""

log = logging.getLogger("easymlnb.asks")


class ServiceCalls:
    """The calls that one kernel makes to other services, in the name of its ``account``.

    A short name is a service of its ``owner``, which can be a group.
    """

    def __init__(
        self, invoker: Invoker, users: UserDirectory, link: WorkerLink, owner: str, account: str
    ) -> None:
        self._invoker = invoker
        self._users = users
        self._link = link
        self._owner = owner
        self._account = account
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
        """Stop a call, or release a result that was read."""
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
        self._link.send(
            ServiceCallError(
                id=id,
                code=error.code,
                message=error.message,
                details=error.details,
                request_id=error.request_id,
            )
        )

    async def _name_and_caller(self, name: str) -> tuple[str, Caller | None]:
        """Return a service's full name, and the kernel's account as it may call it now."""
        services = self._invoker.services
        if not services.shared:
            return name, services.user
        if "/" not in name:
            name = qualified_name(self._owner, name)
        return name, await self._users.find(self._account)

    async def _describe(self, lookup: DescribeService) -> None:
        name, caller = await self._name_and_caller(lookup.service)
        spec = self._invoker.services.resolve(name, caller, Action.CALL).spec
        given = ServiceResult(id=lookup.id, content_type="application/json")
        # Callers need no page, and it may be large.
        found = msgspec.structs.replace(spec, app=None).to_dict()
        self._link.send(given, msgspec.json.encode(found))

    async def _call(self, ask: CallService, body: bytes) -> None:
        room = self._link.file_share
        outer = self._link.find_call(ask.parent) if ask.parent else None
        if ask.parent and (outer is None or outer.answered.done()):
            raise CallCancelled
        now = time.monotonic()
        name, caller = await self._name_and_caller(ask.service)
        request = CallRequest(
            service=name,
            body=FileBody(file=room.claim(ask.file)) if ask.file and room is not None else body,
            content_type=ask.content_type,
            accept=ask.accept,
            caller=caller,
            owner=owner_key(self._account),
            request_id=_request_id(ask, outer),
            headers=outer.trace if outer is not None else {},
            received=now,
            began=now,
            timeout=ask.seconds or float("inf"),
            deadline=outer.deadline + AFTER_OUTER if outer is not None else float("inf"),
            low_priority=outer is not None and outer.low_priority,
            chain=lambda target: extend(outer, self._link, target.name, target.dispatcher.workers),
        )
        result, content = await self._run(request, outer)
        if result.result is None:
            raise result.error or InternalError()
        if isinstance(content, SpooledFile) and room is None:
            content = content.read()
        given = ServiceResult(
            id=ask.id, content_type=result.result.content_type, filename=result.result.filename
        )
        if isinstance(content, SpooledFile):
            self._files[ask.id] = content
            given.file, content = str(content.path), b""
        self._link.send(given, content)

    async def _run(
        self, request: CallRequest, outer: CallHandle | None
    ) -> tuple[CallResult, bytes | SpooledFile]:
        """Run a call, no longer than what waits for it; return its result and content."""
        done: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        items = _Items()
        call = items.call = self._invoker.start(request, settle(done), items)

        def stop(_: object = None) -> None:
            call.stop(CallCancelled())

        if outer is not None:
            outer.answered.add_done_callback(stop)
        try:
            result = await done
        except asyncio.CancelledError:
            stop()
            raise
        finally:
            if outer is not None:
                outer.answered.remove_done_callback(stop)
        if call.target.spec.stream and result.error is None:
            return result, b"[" + b",".join(items.bodies) + b"]"
        return result, result.body


class _Items:
    """The items of a stream, collected for a caller that wants them all at once."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.call: Invocation | None = None

    def on_accepted(self, target: Target) -> None:
        """Nothing is sent before the end."""

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        if isinstance(message, Item):
            self.bodies.append(body)
            if self.call is not None:
                self.call.acknowledge(len(body))


def _request_id(ask: CallService, outer: CallHandle | None) -> str:
    if outer is None:
        return uuid.uuid4().hex
    return f"{outer.call.request_id[:ID_ROOM]}.{ask.id % 10**7}"
