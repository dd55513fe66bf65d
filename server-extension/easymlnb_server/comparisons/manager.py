"""Compare versions: accept a comparison, run its items, continue after a restart."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec

from easymlnb.contract.errors import (
    BadRequest,
    ComparisonNotFound,
    ComparisonRunning,
    Draining,
    EasyMLNBError,
    IncompatibleVersions,
    StorageBusy,
    VersionNotFound,
)
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.comparisons import tables
from easymlnb_server.comparisons.calling import VersionAnswer, VersionCaller
from easymlnb_server.comparisons.compatibility import problems
from easymlnb_server.comparisons.findings import Tolerance
from easymlnb_server.comparisons.inputs import InputReader, Skipped
from easymlnb_server.comparisons.models import (
    ComparisonRequest,
    ItemResult,
    Source,
    UploadedTable,
)
from easymlnb_server.comparisons.rules import compare
from easymlnb_server.store.comparisons import (
    FAILED,
    QUEUED,
    SUCCEEDED,
    UNFINISHED,
    ComparisonRow,
    ItemRow,
)
from easymlnb_server.store.lease import LeaseLost
from easymlnb_server.store.records import Version
from easymlnb_server.store.store import Store
from easymlnb_server.uploads.spool import Spool

if TYPE_CHECKING:
    from easymlnb_server.uploads.spool import SpooledFile

PARALLEL = 4
"""Items of a comparison that run at a time."""

RUNNERS = 2
"""Comparisons that run at a time."""

MAX_UNFINISHED = 5
"""Comparisons of one service that are queued or running."""

LISTED = 50
"""Comparisons of a service that are listed."""

log = logging.getLogger("easymlnb.comparisons")

T = TypeVar("T")

Versions = Callable[[str], Awaitable[list[Version]]]


class Comparisons:
    """All comparisons of versions.

    Parameters
    ----------
    caller
        Calls a version.
    store
        Returns the open store; raises why it is not open.
    spool
        Holds the files of recorded calls while they run again.
    versions
        Returns the versions of a service.
    """

    def __init__(
        self,
        caller: VersionCaller,
        store: Callable[[], Store],
        spool: Spool,
        versions: Versions,
    ) -> None:
        self._caller = caller
        self._store = store
        self._spool = spool
        self._versions = versions
        self._running: set[str] = set()
        self._changed = asyncio.Event()
        self._ended: dict[str, asyncio.Event] = {}

    # accepting

    async def create(
        self,
        service: str,
        request: ComparisonRequest,
        made_by: str,
        upload: "SpooledFile | None" = None,
    ) -> ComparisonRow:
        """Accept a comparison; it is in the database when this returns.

        Raises ``VersionNotFound``, ``IncompatibleVersions``, ``ComparisonRunning`` or
        ``BadRequest`` if there are no inputs.
        """
        before, after = await self._pair(service, request)
        if found := problems(before.spec, after.spec):
            raise IncompatibleVersions(before.number, after.number, found)
        unfinished = await _thread(lambda: self._store().comparisons.unfinished(service))
        if len(unfinished) >= MAX_UNFINISHED:
            raise ComparisonRunning(MAX_UNFINISHED)
        return await _thread(lambda: self._add(service, before, after, request, made_by, upload))

    async def _pair(self, service: str, request: ComparisonRequest) -> tuple[Version, Version]:
        known = {version.number: version for version in await self._versions(service)}
        pair = [_number(asked, known) for asked in request.versions]
        if pair[0] == pair[1]:
            raise BadRequest(f"Name two different versions, not {pair[0]} twice.")
        return known[pair[0]], known[pair[1]]

    def _add(
        self,
        service: str,
        before: Version,
        after: Version,
        request: ComparisonRequest,
        made_by: str,
        upload: "SpooledFile | None",
    ) -> ComparisonRow:
        store = self._store()
        source: Source = "upload"
        file = None
        records: Sequence[str | None]
        if isinstance(request.on, UploadedTable):
            assert upload is not None
            rows = tables.read(upload.read(), before.spec, request.limit)
            file = store.files.put(msgspec.msgpack.encode(rows))
            records = [None] * len(rows)
        else:
            source = request.on
            records = _records(store, service, source, before.spec, request.limit)
        row = ComparisonRow(
            id=uuid.uuid4().hex,
            service=service,
            before=before.number,
            after=after.number,
            source=source,
            file=file,
            options=msgspec.to_builtins(request.tolerance),
            made_by=made_by,
            state=QUEUED,
            error=None,
            total=len(records),
            created=time.time(),
            ended=None,
        )
        store.comparisons.add(row, records)
        return row

    def start(self) -> None:
        """Run what was accepted; call it after ``create``."""
        self._changed.set()

    # reading

    async def get(self, id: str) -> ComparisonRow:
        """Return a comparison; raises ``ComparisonNotFound``."""
        row = await _thread(lambda: self._store().comparisons.get(id))
        if row is None:
            raise ComparisonNotFound(id)
        return row

    async def items(self, id: str) -> list[tuple[ItemRow, ItemResult]]:
        """Return the items that are done, in order."""
        found = await _thread(lambda: self._store().comparisons.items(id, done=True))
        return [(item, msgspec.convert(item.result, ItemResult)) for item in found]

    async def newest(self, service: str) -> list[tuple[ComparisonRow, int]]:
        """Return the newest comparisons of a service, with the number of items done."""

        def read() -> list[tuple[ComparisonRow, int]]:
            rows = self._store().comparisons.newest(service, LISTED)
            return [(row, self._store().comparisons.done(row.id)) for row in rows]

        return await _thread(read)

    async def wait(self, id: str, seconds: float) -> None:
        """Wait until a comparison has ended, at most for ``seconds``."""
        ended = self._ended.setdefault(id, asyncio.Event())
        row = await self.get(id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if row.state in UNFINISHED:
                    await ended.wait()

    async def remove(self, id: str) -> None:
        """Stop and delete a comparison."""
        await _thread(lambda: self._store().comparisons.remove(id))
        self._notify(id)

    def _notify(self, id: str) -> None:
        if (event := self._ended.pop(id, None)) is not None:
            event.set()

    # running

    async def run(self) -> None:
        """Run comparisons one after another; several of these may run at once."""
        while True:
            self._changed.clear()
            unfinished = await _thread(lambda: self._store().comparisons.unfinished())
            row = next((row for row in unfinished if row.id not in self._running), None)
            if row is None:
                await self._changed.wait()
                continue
            self._running.add(row.id)
            try:
                await self._run(row)
            finally:
                self._running.discard(row.id)

    async def _run(self, row: ComparisonRow) -> None:
        """Run what is left of a comparison, to its end."""
        state, error = SUCCEEDED, None
        try:
            if not await _thread(lambda: self._store().comparisons.start(row.id)):
                return
            if not await self._run_items(row):
                return
        except (LeaseLost, StorageBusy, Draining):
            raise  # it continues later
        except EasyMLNBError as failure:
            state, error = FAILED, {"code": failure.code, "message": failure.message}
        except Exception:
            log.exception("Comparison %s failed.", row.id)
            state = FAILED
            error = {"code": "internal_error", "message": "Internal server error."}
        await _thread(lambda: self._store().comparisons.end(row.id, state, error))
        self._notify(row.id)

    async def _run_items(self, row: ComparisonRow) -> bool:
        """Run the items that are not done; return ``False`` if the comparison was deleted."""
        known = {version.number: version for version in await self._versions(row.service)}
        before = known[_number(row.before, known)]
        _number(row.after, known)
        comparisons = self._store().comparisons
        reader = await _thread(lambda: InputReader(self._store(), self._spool, row, before.spec))
        items = await _thread(lambda: comparisons.items(row.id, done=False))
        for at in range(0, len(items), PARALLEL):
            group = items[at : at + PARALLEL]
            done = await asyncio.gather(
                *(self._run_item(row, item, reader, before.owner) for item in group)
            )
            if not await asyncio.to_thread(comparisons.store, row.id, done):
                return False
        return True

    async def _run_item(
        self, row: ComparisonRow, item: ItemRow, reader: InputReader, owner: str
    ) -> ItemRow:
        try:
            inputs, shown = await _thread(lambda: reader.read(item))
        except Skipped as reason:
            return _done(item, ItemResult(outcome="skipped", note=str(reason)))
        # In turns, so that neither version always finds the caches warm.
        numbers = [row.before, row.after]
        if item.number % 2:
            numbers.reverse()
        answers = {
            number: await self._caller.call(row.service, owner, number, inputs)
            for number in numbers
        }
        tolerance = msgspec.convert(row.options, Tolerance)
        before, after = answers[row.before], answers[row.after]
        result = await _thread(lambda: compare_answers(before, after, tolerance))
        return _done(item, msgspec.structs.replace(result, inputs=shown))


def compare_answers(
    before: VersionAnswer, after: VersionAnswer, tolerance: Tolerance
) -> ItemResult:
    """Compare how two versions answered one input."""
    codes = before.summary.code, after.summary.code
    finding, note = None, ""
    if codes == ("", ""):
        finding = compare(before.value, after.value, tolerance)
    elif codes[0] == codes[1]:
        note = "Both versions failed in the same way."
    else:
        note = "Both versions failed." if all(codes) else "Only one version failed."
    return ItemResult(
        outcome=finding.outcome if finding is not None else "failed",
        note=note,
        before=before.summary,
        after=after.summary,
        finding=finding,
    )


def _done(item: ItemRow, result: ItemResult) -> ItemRow:
    return ItemRow(item.number, item.record, result.outcome, msgspec.to_builtins(result))


def _number(asked: int | str, known: Mapping[int, Version]) -> int:
    """Return the number of a version; raises ``VersionNotFound``."""
    text = str(asked)
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if number not in known:
        raise VersionNotFound(text, known)
    return number


def _records(
    store: Store, service: str, source: str, spec: ServiceSpec, limit: int
) -> list[str | None]:
    """Return the recorded call of each item, ``None`` for an example."""
    if source == "examples":
        if not spec.examples:
            raise BadRequest(
                "The first version has no examples. Add examples=[{...}] to the service, or "
                "compare on recorded or flagged calls."
            )
        return [None] * min(limit, len(spec.examples))
    rows = store.recordings.newest(service, source, limit=limit)
    if not rows:
        hint = (
            "Record calls with record=ml.Record(share=0.1)."
            if source == "recorded"
            else "Flag calls in the form, or with POST services/{name}/flag."
        )
        raise BadRequest(f"The service has no {source} calls. {hint}")
    return [row.id for row in rows]


async def _thread(work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work)
