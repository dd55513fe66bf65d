"""Record events durably, and copy each to a second sink as it happens."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from easymlnb.contract.errors import EasyMLNBError
from easymlnb_server.identity.access import Caller
from easymlnb_server.identity.audit.models import MAX_DETAILS, AuditEvent, AuditRows

RETRY_SECONDS = 5.0
MAX_PENDING = 10_000
"""Maximum number of events that wait in memory while the database is unavailable."""

log = logging.getLogger("easymlnb.audit")


class AuditLog:
    """The append-only log of who changed what.

    Parameters
    ----------
    sink
        A file to which each event is also appended as a line of JSON; ``None`` for no file.
    """

    def __init__(self, sink: Path | None = None) -> None:
        self._sink = sink
        self._rows: AuditRows | None = None
        self._pending: deque[AuditEvent] = deque()
        self._lock = asyncio.Lock()

    def open(self, rows: AuditRows) -> None:
        """Store events from now on; those from before are stored by ``run``."""
        self._rows = rows

    def close(self) -> None:
        """Keep events in memory until the next ``open``."""
        self._rows = None

    async def record(
        self,
        action: str,
        target: str,
        *,
        caller: Caller | None = None,
        owner: str = "",
        request_id: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Record an event; when this returns it is on disk, unless the database is unavailable.

        Events then wait in memory until the database is back. It never raises because of the
        database or the sink.

        Parameters
        ----------
        action
            A noun and a verb, such as ``traffic.change``.
        target
            The name of a service, the id of a key, or a user.
        caller
            Who did it; ``None`` for the server itself.
        owner
            Whose the target is; the event is shown to that user and to administrators.
        request_id
            The id of the request.
        details
            JSON values with more about the event: never inputs, results or secrets.
        """
        event = new_event(
            action, target, caller=caller, owner=owner, request_id=request_id, details=details
        )
        await self.copy(event)
        async with self._lock:
            self._pending.append(event)
            await self._store()

    async def copy(self, event: AuditEvent) -> None:
        """Append an event to the sink; for events that another transaction stores."""
        if self._sink is None:
            return
        try:
            await asyncio.to_thread(_append, self._sink, line(event))
        except OSError as error:
            log.error("Could not write the audit file %s: %s", self._sink, error)

    async def run(self) -> None:
        """Store the events that wait for the database, until canceled."""
        while True:
            async with self._lock:
                await self._store()
            await asyncio.sleep(RETRY_SECONDS)

    async def read(
        self,
        *,
        after: int = 0,
        limit: int = 1000,
        names: frozenset[str] | None = None,
        action: str = "",
        target: str = "",
    ) -> list[AuditEvent]:
        """Return stored events, oldest first.

        With ``names``, only events of these actors and owners.
        """
        if self._rows is None:
            return []
        found = self._rows
        return await asyncio.to_thread(
            lambda: found.read(after=after, limit=limit, names=names, action=action, target=target)
        )

    async def _store(self) -> None:
        """Store the waiting events in order."""
        while self._pending and self._rows is not None:
            event = self._pending[0]
            try:
                await asyncio.to_thread(self._rows.add, event)
            except EasyMLNBError as error:
                log.warning("An audit event waits for the database: %s", error.message)
                break
            self._pending.popleft()
        while len(self._pending) > MAX_PENDING:
            lost = self._pending.popleft()
            log.error("An audit event was lost: %s %s", lost.action, lost.target)


def new_event(
    action: str,
    target: str,
    *,
    caller: Caller | None = None,
    owner: str = "",
    request_id: str = "",
    details: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Return an event of this moment; see ``AuditLog.record``."""
    given = dict(details or {})
    if len(msgspec.json.encode(given)) > MAX_DETAILS:
        given = {"omitted": "The details were too large."}
    key = caller.key if caller is not None else None
    return AuditEvent(
        actor=caller.name if caller is not None else "",
        key=key.id if key is not None else "",
        action=action,
        target=target,
        owner=owner,
        request_id=request_id,
        details=given,
    )


def line(event: AuditEvent) -> bytes:
    """Return an event as a line of JSON."""
    moment = datetime.fromtimestamp(event.time, UTC).isoformat(timespec="milliseconds")
    values = {**msgspec.to_builtins(event), "time": moment}
    if not event.id:  # the file has no numbers
        del values["id"]
    return msgspec.json.encode(values) + b"\n"


def _append(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, data)
    finally:
        os.close(file)
