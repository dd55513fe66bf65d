"""Calls of the operations of a batch, through the workers that serve the version."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from easymlnb.contract.batch_protocol import (
    JOIN,
    MSGPACK,
    ROWS,
    SCAN,
    BatchMessage,
    JoinRequest,
    RowsReply,
    RowsRequest,
    ScanReply,
    ScanRequest,
)
from easymlnb.contract.errors import Busy, Draining, NotReady
from easymlnb.contract.worker_protocol import Item, Progress
from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.calls.models import CallRequest
from easymlnb_server.dispatch.bodies import Body, FileBody
from easymlnb_server.identity.access import Caller
from easymlnb_server.jobs.admission import submitter
from easymlnb_server.jobs.models import Job
from easymlnb_server.services.models import Target
from easymlnb_server.services.registry import Selection
from easymlnb_server.uploads.spool import SpooledFile

NOT_YET = (Busy, NotReady, Draining)
"""Errors that end when a worker has room."""

RETRY_SECONDS = 1.0

SCAN_SECONDS = 300.0
"""Seconds for a call that reads a table, or joins results."""

EXTRA_SECONDS = 30.0
"""Seconds that a call with rows may take beyond its share and one run of the function."""

MAX_PARALLEL = 32

R = TypeVar("R", bound=BatchMessage)


class _Rows:
    """Notes how far a call with rows is, in case its worker is lost."""

    def __init__(self, on_row: Callable[[int], None]) -> None:
        self._on_row = on_row

    def on_accepted(self, target: Target) -> None:
        """Nothing depends on the worker."""

    def on_event(self, message: Progress | Item, body: bytes) -> None:
        """Take the number of the row that runs."""
        if isinstance(message, Progress) and message.text.isdigit():
            self._on_row(int(message.text))


class PoolCalls:
    """Runs the operations of one batch behind interactive calls.

    Calls wait while the version has no worker with room. ``waiting`` says for what.
    """

    def __init__(self, invoker: Invoker, job: Job) -> None:
        self.waiting = ""
        self._invoker = invoker
        self._job = job
        services = invoker.services
        self._caller = Caller(job.author) if services.shared else services.user

    @property
    def parallel(self) -> int:
        """The number of calls that keep all workers of the version busy."""
        target = self._find()
        workers = len(target.dispatcher.workers) if target is not None else 1
        return max(2, min(MAX_PARALLEL, workers + 1))

    async def scan(
        self, request: ScanRequest, files: tuple[tuple[str, SpooledFile], ...]
    ) -> ScanReply:
        """Read the next rows of a table."""
        return await self._call(SCAN, request, ScanReply, SCAN_SECONDS, files)

    async def rows(self, request: RowsRequest, on_row: Callable[[int], None]) -> RowsReply:
        """Run rows; raises ``WorkerLost`` or ``DeadlineExceeded`` with their worker."""
        target = self._find()
        own = target.spec.timeout if target is not None else 0.0
        seconds = request.seconds + own + EXTRA_SECONDS
        return await self._call(ROWS, request, RowsReply, seconds, on_row=on_row)

    async def join(self, sizes: list[int], pieces: SpooledFile) -> bytes | SpooledFile:
        """Join pieces of a parquet table."""
        request = JoinRequest(sizes=sizes)
        return await self._send(JOIN, request, SCAN_SECONDS, (("pieces", pieces),))

    def _find(self) -> Target | None:
        job = self._job
        chosen = Selection(version=job.version, owner=job.owner, headers={}, point=0.0)
        try:
            return self._invoker.find(job.service, self._caller, selection=chosen)
        except NOT_YET:
            return None

    async def _call(
        self,
        operation: str,
        request: BatchMessage,
        kind: type[R],
        seconds: float,
        files: tuple[tuple[str, SpooledFile], ...] = (),
        on_row: Callable[[int], None] = lambda row: None,
    ) -> R:
        body = await self._send(operation, request, seconds, files, on_row)
        return await asyncio.to_thread(_decode, body, kind)

    async def _send(
        self,
        operation: str,
        request: BatchMessage,
        seconds: float,
        files: tuple[tuple[str, SpooledFile], ...],
        on_row: Callable[[int], None] = lambda row: None,
    ) -> bytes | SpooledFile:
        data = msgspec.msgpack.encode(request)
        body: Body = FileBody(data=data, uploads=files) if files else data
        while True:
            try:
                result = await self._once(operation, body, seconds, on_row)
            except NOT_YET as error:
                self.waiting = error.message
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.waiting = ""
                return result

    async def _once(
        self, operation: str, body: Body, seconds: float, on_row: Callable[[int], None]
    ) -> bytes | SpooledFile:
        job, now = self._job, time.monotonic()
        request = CallRequest(
            service=job.service,
            body=body,
            content_type=MSGPACK,
            caller=self._caller,
            owner=job.owner,
            request_id=f"{job.id}-{uuid.uuid4().hex[:8]}",
            received=now,
            began=now,
            version=job.version,
            low_priority=True,
            progress=True,
            timeout=seconds,
            keep=False,
            # Its time is counted here, and its length says nothing about calls of the service.
            is_shadow=True,
            operation=operation,
        )
        result = await self._invoker.invoke(request, _Rows(on_row))
        if result.result is not None:
            caller = submitter(job.options)
            self._invoker.quotas.charge(job.service, caller, job.owner, result.result.seconds)
        if result.error is not None:
            raise result.error
        return result.body


def _decode(body: Any, kind: type[R]) -> R:
    data = body if isinstance(body, bytes) else body.read()
    return msgspec.msgpack.decode(data, type=kind)
