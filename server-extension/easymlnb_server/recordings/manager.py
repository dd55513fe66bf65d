"""Calls that are kept: write, flag, read, delete, expire."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from easymlnb.contract.errors import (
    CallNotFound,
    EasyMLNBError,
    Forbidden,
    RecordNotFound,
    ServiceNotFound,
    TooLarge,
    TooManyFlags,
)
from easymlnb.contract.spec import NOT_RECORDED, Record, ServiceSpec
from easymlnb_server.recordings import inputs
from easymlnb_server.recordings.keeper import HeldCall, Keeper
from easymlnb_server.recordings.limits import FlagLimits
from easymlnb_server.recordings.models import MAX_CALL, FlagRequest, StoredCall
from easymlnb_server.recordings.rules import caller_key, may_flag, without_secrets
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.store.recordings import FLAGGED, RECORDED, RecordRow
from easymlnb_server.store.store import Store

BATCH = 32
"""Calls that are written in one transaction."""

SWEEP_SECONDS = 600.0
"""Seconds between two runs of the sweep."""

NOT_HELD = (
    "The server no longer has this call: only calls of forms and app pages of the last minutes, "
    "and recorded calls, can be flagged by their id. Run the call again and flag the new result, "
    "or send the flag with 'input' and 'result'."
)
NO_FLAGS = "This service does not accept flags. Its author can allow them with ml.Record()."
NOT_YOURS = "Visitors can only flag a call that they have just made on this page."
HAS_SECRETS = (
    "This call has a secret in a body that is not JSON, so it is not kept. Call the service with "
    "JSON to flag the call."
)

log = logging.getLogger("easymlnb.recordings")


@dataclass(frozen=True, slots=True)
class Flagger:
    """The caller who flags a call: the key of the calls, and whether there is no login."""

    owner: str
    visitor: bool


class Recordings:
    """The recorded and flagged calls of all services.

    Parameters
    ----------
    keeper
        Takes calls as they end.
    services
        Has the specs, which say what may be kept.
    store
        Returns the open store; raises why it is not open.
    """

    def __init__(
        self, keeper: Keeper, services: ServiceRegistry, store: Callable[[], Store]
    ) -> None:
        self.keeper = keeper
        self._services = services
        self._store = store
        self._limits = FlagLimits()

    async def run(self) -> None:
        """Write the calls that the keeper sampled, as they come."""
        while True:
            batch = await self.keeper.next_batch(BATCH)
            try:
                await asyncio.to_thread(self._write, batch, RECORDED)
            except (EasyMLNBError, OSError) as error:
                for call in batch:
                    self.keeper.count(call.spec.name, "not_stored")
                log.warning("%d calls could not be recorded: %s", len(batch), error)
            finally:
                for call in batch:
                    call.close()

    async def run_sweep(self) -> None:
        """Delete what has expired, or is more than its service keeps."""
        self.keeper.recent.expire()
        await asyncio.to_thread(self.sweep)

    def sweep(self) -> int:
        """Delete expired calls and the oldest above each service's limit; return how many."""
        store = self._store()
        files = store.recordings.expire(time.time())
        for name in store.recordings.services():
            with contextlib.suppress(ServiceNotFound):
                most = _record(self._services.find(name).spec).max
                files += store.recordings.trim(name, most)
        _remove_files(store, files)
        return len(files)

    def _write(self, calls: Sequence[HeldCall], kind: str, reason: str = "") -> list[RecordRow]:
        rows = []
        for call in calls:
            stored = without_secrets(call.read(), call.spec)
            if stored is None:
                self.keeper.count(call.spec.name, "secret")
            else:
                rows.append(self._put(call, stored, kind, reason))
        self._store().recordings.add(rows)
        return rows

    def _put(self, call: HeldCall, stored: StoredCall, kind: str, reason: str) -> RecordRow:
        return RecordRow(
            id=call.id,
            service=call.spec.name,
            version=call.version,
            kind=kind,
            request_id=call.request_id,
            caller=call.caller,
            reason=reason,
            source="server",
            preview=inputs.preview(stored),
            status=call.status,
            code=call.code,
            seconds=call.seconds,
            size=stored.size,
            file=self._store().files.put(stored.encode()),
            time=call.time,
            expires=None if kind == FLAGGED else call.time + _record(call.spec).seconds,
        )

    # flags

    async def flag(
        self, spec: ServiceSpec, version: str, by: Flagger, given: FlagRequest
    ) -> RecordRow:
        """Keep one call with the reason for it, and return its row.

        Raises ``Forbidden``, ``CallNotFound``, ``TooLarge`` or ``TooManyFlags``.
        """
        if not may_flag(spec, visitor=by.visitor):
            raise Forbidden(NO_FLAGS)
        store = self._store()
        most = _record(spec).max
        if await asyncio.to_thread(store.recordings.count, spec.name, FLAGGED) >= most:
            raise TooManyFlags(
                f"This service keeps at most {most:,} flagged calls. Ask its author to delete some."
            )
        self._limits.acquire(spec.name, by.owner, visitor=by.visitor)
        caller = caller_key(by.owner)
        if given.request_id:
            known = await self._flag_known(spec.name, caller, given)
            if known is not None:
                return known
        if given.input is msgspec.UNSET:
            raise CallNotFound(NOT_HELD)
        if by.visitor:
            raise CallNotFound(NOT_YOURS)
        return await asyncio.to_thread(self._flag_given, spec, version, caller, given)

    async def _flag_known(self, service: str, caller: str, given: FlagRequest) -> RecordRow | None:
        """Flag a call that was recorded, or that ended in the last minutes."""
        held = self.keeper.recent.take(service, given.request_id, caller)
        recordings = self._store().recordings
        row = await asyncio.to_thread(recordings.find, service, given.request_id, caller)
        try:
            if row is not None:
                await asyncio.to_thread(recordings.flag, row.id, given.reason)
                return row
            if held is None:
                return None
            rows = await asyncio.to_thread(self._write, [held], FLAGGED, given.reason)
        finally:
            if held is not None:
                held.close()
        if not rows:
            raise CallNotFound(HAS_SECRETS)
        return rows[0]

    def _flag_given(
        self, spec: ServiceSpec, version: str, caller: str, given: FlagRequest
    ) -> RecordRow:
        """Keep a call as its caller describes it."""
        result = b"" if given.result is msgspec.UNSET else msgspec.json.encode(given.result)
        body = msgspec.json.encode(given.input)
        call = StoredCall(
            id=uuid.uuid4().hex,
            input=body,
            input_type=inputs.JSON,
            result=result,
            result_type=inputs.JSON if result else "",
        )
        if call.size > MAX_CALL:
            raise TooLarge(f"A flagged call can have at most {MAX_CALL // 2**20} MB.")
        stored = without_secrets(call, spec)
        assert stored is not None  # it is a JSON object
        row = RecordRow(
            id=call.id,
            service=spec.name,
            version=given.version if given.version is not msgspec.UNSET else version,
            kind=FLAGGED,
            request_id=given.request_id,
            caller=caller,
            reason=given.reason,
            source="caller",
            preview=inputs.preview(stored),
            status=200,
            code="",
            seconds=0.0,
            size=stored.size,
            file=self._store().files.put(stored.encode()),
            time=time.time(),
            expires=None,
        )
        self._store().recordings.add([row])
        return row

    # reading

    async def page(
        self, service: str, kind: str, start: int, limit: int
    ) -> tuple[list[RecordRow], int]:
        """Return rows of a service, newest first, and the number of all."""
        recordings = self._store().recordings

        def read() -> tuple[list[RecordRow], int]:
            rows = recordings.newest(service, kind, start=start, limit=limit)
            return rows, recordings.count(service, kind)

        return await asyncio.to_thread(read)

    async def row(self, service: str, id: str) -> RecordRow:
        """Return one row of a service; raises ``RecordNotFound``."""
        row = await asyncio.to_thread(self._store().recordings.get, id)
        if row is None or row.service != service:
            raise RecordNotFound(id)
        return row

    def content(self, row: RecordRow) -> StoredCall:
        """Return the content of a call; raises ``StorageDamaged``. It blocks."""
        return StoredCall.decode(self._store().files.get(row.file))

    # deletion

    async def remove(self, service: str, *, id: str = "", caller: str = "", kind: str = "") -> int:
        """Delete calls of a service, with what waits to be written; return how many."""
        if not id and kind != FLAGGED:
            self.keeper.forget(service, caller)
        store = self._store()

        def work() -> int:
            files = store.recordings.remove(service, id=id, caller=caller, kind=kind)
            _remove_files(store, files)
            return len(files)

        return await asyncio.to_thread(work)


def _record(spec: ServiceSpec) -> Record:
    return spec.record or NOT_RECORDED


def _remove_files(store: Store, names: Sequence[str]) -> None:
    for name in names:
        try:
            store.files.remove(name)
        except OSError as error:  # the sweep of the store tries again
            log.warning("The file %s of a recorded call was not deleted: %s", name[:12], error)
