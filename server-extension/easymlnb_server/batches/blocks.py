"""The work of a batch: scan the table into blocks, and run the rows of several blocks at a time."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator

import msgspec

from easymlnb.contract.batch_protocol import (
    RowError,
    RowsReply,
    RowsRequest,
    ScanReply,
    ScanRequest,
)
from easymlnb.contract.errors import DeadlineExceeded, EasyMLNBError, WorkerLost
from easymlnb_server.batches.models import (
    BatchOptions,
    BatchProgress,
    Part,
    StoredBlock,
    StoredPart,
)
from easymlnb_server.batches.pool_calls import PoolCalls
from easymlnb_server.batches.repository import BatchRepository
from easymlnb_server.jobs.run import JobRun
from easymlnb_server.uploads.spool import SpooledFile

ROWS_SECONDS = 0.25
"""Seconds of rows in one call, which interactive calls may have to wait for."""

CAREFUL_SECONDS = 5.0
"""The same after a worker was lost, when rows run one by one to find the one that ended it."""

STORE_SECONDS = 2.0
STORE_BYTES = 8 * 2**20
"""Results are stored when a block ends, and after this time or size."""

MAX_LOST = 10
"""Rows that may end or block their worker before a batch fails."""


class BatchLost(Exception):
    """Another process has taken the job over."""


class BatchWork:
    """One run of a batch; ``table`` has the files that it reads."""

    def __init__(
        self,
        run: JobRun,
        repository: BatchRepository,
        calls: PoolCalls,
        progress: BatchProgress,
        options: BatchOptions,
    ) -> None:
        self.table: tuple[tuple[str, SpooledFile], ...] = ()
        self._run = run
        self._repository = repository
        self._calls = calls
        self._progress = progress
        self._options = options
        self._plan = b""
        self._ready = deque(b for b in progress.blocks if b.done < b.rows)
        self._running = 0
        self._lost = 0
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Run all rows that have no results; raises the error that ends the batch."""
        if self._progress.plan:
            self._plan = await asyncio.to_thread(self._run.parts.files.get, self._progress.plan)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._scan())
                await self._start_blocks(group)
        except BaseExceptionGroup as errors:
            raise next(_leaves(errors)) from None

    @property
    def waits(self) -> bool:
        """Whether the batch waits for a worker."""
        return bool(self._calls.waiting)

    def publish(self) -> None:
        """Tell those who follow the job how far it is."""
        fraction, text = self._progress.shown()
        if self._calls.waiting:
            text = f"{text}. Waiting for a worker: {self._calls.waiting}"
        self._run.progress = (fraction, text)
        data = {"fraction": fraction, "text": text}
        self._run.parts.events.publish(self._run.job.id, "progress", data)

    async def _start_blocks(self, group: asyncio.TaskGroup) -> None:
        """Run as many blocks as keep the workers busy, until there are no more."""
        while self._ready or self._running or not self._progress.complete:
            while self._ready and self._running < self._calls.parallel:
                self._running += 1
                group.create_task(self._run_block(self._ready.popleft()))
            self._woken.clear()
            await self._woken.wait()

    async def _scan(self) -> None:
        progress, options = self._progress, self._options
        while not progress.complete:
            request = ScanRequest(
                names=options.names,
                media_type=options.media_type,
                values=options.values,
                keep=options.keep,
                plan=self._plan,
                position=progress.position,
            )
            await self._add_blocks(await self._calls.scan(request, self.table))
            self._woken.set()
        self.table = ()

    async def _add_blocks(self, reply: ScanReply) -> None:
        """Store the blocks of a scan, and make their rows ready."""
        progress = self._progress
        blocks, first = [], progress.rows
        names = await asyncio.to_thread(self._store, reply)
        for number, (file, block) in enumerate(
            zip(names, reply.blocks, strict=True), len(progress.blocks)
        ):
            blocks.append(StoredBlock(number, first, block.rows, file))
            first += block.rows
        if not self._plan:
            self._plan = reply.plan
            progress.kind = reply.kind
        progress.position, progress.share = reply.position, reply.share
        progress.complete = reply.complete
        if not await asyncio.to_thread(
            self._repository.add_blocks, self._run.job, progress, blocks
        ):
            raise BatchLost
        progress.blocks += blocks
        self._ready.extend(blocks)

    def _store(self, reply: ScanReply) -> list[str]:
        files = self._run.parts.files
        if not self._progress.plan:
            self._progress.header = files.put(reply.header)
            self._progress.plan = files.put(reply.plan)
        return [files.put(block.data) for block in reply.blocks]

    async def _run_block(self, block: StoredBlock) -> None:
        data = await asyncio.to_thread(self._run.parts.files.get, block.file)
        pending = _Pending(block.done)
        while block.done + pending.rows < block.rows:
            reply = await self._run_rows(block, data, pending)
            pending.add(reply)
            self._print(reply.log)
            if block.done + pending.rows == block.rows or pending.is_due:
                await self._store_part(block, pending)
                pending = _Pending(block.done)
        self._running -= 1
        self._woken.set()

    async def _run_rows(self, block: StoredBlock, data: bytes, pending: "_Pending") -> RowsReply:
        """Run the next rows; find the row with which workers are lost, and leave it out."""
        start = at = block.done + pending.rows
        request = RowsRequest(
            plan=self._plan, data=data, first=block.first, start=start, seconds=ROWS_SECONDS
        )

        def on_row(row: int) -> None:
            nonlocal at
            at = row

        while True:
            try:
                return await self._calls.rows(request, on_row)
            except (WorkerLost, DeadlineExceeded) as error:
                if request.careful:
                    request.failed.append(self._give_up(block.first + at + 1, error))
                request.careful, request.seconds, at = True, CAREFUL_SECONDS, start

    def _give_up(self, row: int, error: EasyMLNBError) -> RowError:
        self._lost += 1
        if self._lost > MAX_LOST:
            raise error
        return RowError(row=row, code=error.code, message=error.message)

    async def _store_part(self, block: StoredBlock, pending: "_Pending") -> None:
        part = pending.part
        data = msgspec.msgpack.encode(part)
        name = await asyncio.to_thread(self._run.parts.files.put, data)
        stop = block.done + pending.rows
        stored = StoredPart(block.number, block.done, stop, len(part.errors), name)
        if not await asyncio.to_thread(self._repository.add_part, self._run.job, stored):
            raise BatchLost
        block.done = stop
        self._progress.failed += len(part.errors)
        self.publish()

    def _print(self, text: str) -> None:
        """Add the output of rows to the job's log."""
        if not text:
            return
        logs, job = self._run.parts.logs, self._run.job
        new = logs.append(job.id, job.attempt, logs.size(job.id, job.attempt), text.encode())
        if new:
            data = {"text": new.decode(errors="replace"), "attempt": job.attempt}
            self._run.parts.events.publish(job.id, "log", data)


class _Pending:
    """Results of consecutive rows of a block, from ``start`` on, that are not stored yet."""

    def __init__(self, start: int) -> None:
        self.part = Part(pieces=[], files=[], errors=[])
        self.rows = 0
        self._start = start
        self._size = 0
        self._since = time.monotonic()

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._since > STORE_SECONDS or self._size > STORE_BYTES

    def add(self, reply: RowsReply) -> None:
        self.part.pieces.append(reply.piece)
        self.part.files += reply.files
        self.part.errors += reply.errors
        self.rows = reply.stop - self._start
        self._size += len(reply.piece) + sum(len(data) for _, data in reply.files)


def _leaves(errors: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
