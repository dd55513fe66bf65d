"""Calls of a device that is not always online: stored first, sent when the server can be reached.

Each call is one row of an SQLite file with a key of its own. It is sent as a job under that key, so
a call that is sent twice runs once.
"""

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from easymlnb.client import jobs, operations
from easymlnb.client.encoding import encode_arguments
from easymlnb.client.job_events import ENDED
from easymlnb.client.messages import (
    Operation,
    Request,
    call_body,
    encode_form,
    error_of,
    raise_for_error,
)
from easymlnb.client.operations import SpecCache
from easymlnb.contract.errors import EasyMLNBError, JobNotFound, ServerUnreachable, from_code
from easymlnb.contract.spec import ServiceSpec

T = TypeVar("T")

WAITING, SENT, FAILED = "waiting", "sent", "failed"

FINAL = (400, 409, 413, 415, 422)
"""Statuses with which the server refuses a call for good; all others may pass."""

OF_SERVICE = (403, 404)
"""Statuses that concern one service; calls of others are sent."""

VERSION = "x-easymlnb-version"
"""A header that each result of a job has."""

FOREIGN = "A proxy or a login page responded instead of the server. Check the network connection."

LOCKED_SECONDS = 30.0
"""How long to wait for another process that writes to the same file."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    service TEXT NOT NULL,
    content_type TEXT NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL,
    job TEXT,
    error TEXT,
    created REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_state ON calls (state, id);
CREATE TABLE IF NOT EXISTS specs (service TEXT PRIMARY KEY, document TEXT NOT NULL);
"""


class OutboxClient(Protocol):
    """The methods of a client that an outbox uses."""

    _specs: SpecCache

    def _run(self, operation: Operation[T]) -> T: ...


@dataclass(frozen=True, slots=True)
class Delivered:
    """A call that has ended: its result, or the error that its function raised."""

    key: str
    service: str
    result: Any = None
    error: EasyMLNBError | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that the server will never accept, and why."""

    key: str
    service: str
    error: EasyMLNBError


class Outbox:
    """Calls that wait in a file until the server can be reached.

    Create one with ``client.outbox(path)``. Several threads and processes can use one file.
    """

    def __init__(self, client: OutboxClient, path: str | Path) -> None:
        self._client = client
        self._path = Path(path)
        self._lock = threading.RLock()
        self.last_error: EasyMLNBError | None = None
        """Why the last ``flush`` left calls waiting."""
        self._rows = sqlite3.connect(
            self._path, timeout=LOCKED_SECONDS, isolation_level=None, check_same_thread=False
        )
        # A call is on disk when `put` returns, also if the device loses power then.
        for setting in ("journal_mode = WAL", "synchronous = FULL"):
            self._rows.execute(f"PRAGMA {setting}").close()
        self._rows.executescript(_SCHEMA)

    def put(self, service: str, /, **values: Any) -> str:
        """Store a call, and return its key; the server is not needed.

        Raises ``TypeError`` for a value that cannot be sent.
        """
        found = self._known_spec(service)
        body = call_body(encode_arguments(values, found.input if found is not None else {}))
        if "form" in body:
            content_type, content = encode_form(body["form"])
        else:
            content_type, content = body["headers"]["Content-Type"], body["content"]
        key = uuid.uuid4().hex
        with self._writing() as rows:
            rows.execute(
                "INSERT INTO calls (key, service, content_type, body, state, created)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (key, service, content_type, content, WAITING, time.time()),
            )
        return key

    def prepare(self, *services: str) -> None:
        """Store the schemas of services while the server can be reached.

        The values of later calls are then encoded by the schema, such as images from arrays.
        """
        for service in services:
            spec = self._client._run(operations.spec(self._client._specs, service))
            with self._writing() as rows:
                rows.execute(
                    "INSERT OR REPLACE INTO specs VALUES (?, ?)",
                    (service, json.dumps(spec.to_dict())),
                )

    def flush(self) -> int:
        """Send the waiting calls, oldest first; return how many the server accepted.

        Calls that have to wait, such as when the server cannot be reached, raise no exception;
        ``last_error`` has the reason.
        """
        accepted = 0
        self.last_error = None
        for key, service, content_type, body in self._all(WAITING):
            headers = {"Content-Type": content_type, "Idempotency-Key": key}
            try:
                job = self._client._run(self._submit(service, headers, body))
            except ServerUnreachable as error:
                self.last_error = error
                break
            except EasyMLNBError as error:
                if error.status in FINAL:
                    self._change(key, FAILED, error=json.dumps(error.to_dict()["error"]))
                    continue
                self.last_error = error
                if error.status not in OF_SERVICE:
                    break
            else:
                self._change(key, SENT, job=job)
                accepted += 1
        return accepted

    def results(self) -> Iterator[Delivered]:
        """Yield the calls that have ended on the server.

        A call is removed from the file when the next one is asked for, so an interrupted loop gets
        it again. Raises ``ServerUnreachable``, or why the server refused to tell.
        """
        for key, service, job in self._sent():
            ended = self._client._run(self._end_of(key, service, job))
            if ended is not None:
                yield ended
                self.remove(key)

    def refused(self) -> list[Refused]:
        """Return the calls that the server refused for good."""
        with self._lock:
            found = self._rows.execute(
                "SELECT key, service, error FROM calls WHERE state = ? ORDER BY id", (FAILED,)
            ).fetchall()
        return [
            Refused(key, service, from_code(**_error(json.loads(error))))
            for key, service, error in found
        ]

    def remove(self, key: str) -> None:
        """Delete a call from the file; its job on the server is not deleted."""
        with self._writing() as rows:
            rows.execute("DELETE FROM calls WHERE key = ?", (key,))

    @property
    def counts(self) -> dict[str, int]:
        """The number of calls by state: ``waiting``, ``sent`` and ``failed``."""
        with self._lock:
            found = dict(self._rows.execute("SELECT state, count(*) FROM calls GROUP BY state"))
        return {state: found.get(state, 0) for state in (WAITING, SENT, FAILED)}

    def __len__(self) -> int:
        """Return how many calls wait to be sent."""
        return self.counts[WAITING]

    def close(self) -> None:
        """Close the file, once a thread that uses it has ended its step."""
        with self._lock:
            self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # the server

    def _submit(self, service: str, headers: dict[str, str], body: bytes) -> Operation[str]:
        full = yield from operations.full_name(self._client._specs, service)
        path = operations.service_path(full, "jobs")
        request = Request("POST", path, operations.EXTRA_SECONDS + 30, headers, content=body)
        found = raise_for_error((yield request)).json()
        if not isinstance(found, dict) or "id" not in found:
            raise ServerUnreachable(FOREIGN)
        return str(found["id"])

    def _end_of(self, key: str, service: str, job: str) -> Operation[Delivered | None]:
        """Return how a job ended; ``None`` if it has not. Raises what went wrong with a request."""
        response = yield Request("GET", jobs.path(job, "result"), 300.0)
        if 200 <= response.status < 300:
            if VERSION not in response.headers:
                raise ServerUnreachable(FOREIGN)
            spec = self._known_spec(service)
            value = operations.decode_result(response, spec.output if spec is not None else {})
            return Delivered(key, service, value)
        error = error_of(response)
        if error.code == "job_not_finished":
            return None
        if not isinstance(error, JobNotFound):
            # Whether this is the job's error, or only this request's, is known by the job's state.
            info = yield from jobs.get(job)
            if info["state"] not in ENDED:
                raise error
        return Delivered(key, service, error=error)

    # the file

    def _all(self, state: str) -> Iterator[tuple[str, str, str, bytes]]:
        """Yield the calls of a state, oldest first, also those that are stored meanwhile."""
        last = 0
        while True:
            with self._lock:
                found = self._rows.execute(
                    "SELECT id, key, service, content_type, body FROM calls"
                    " WHERE state = ? AND id > ? ORDER BY id LIMIT 1",
                    (state, last),
                ).fetchone()
            if found is None:
                return
            last = found[0]
            yield found[1:]

    def _sent(self) -> list[tuple[str, str, str]]:
        with self._lock:
            return self._rows.execute(
                "SELECT key, service, job FROM calls WHERE state = ? ORDER BY id", (SENT,)
            ).fetchall()

    def _change(self, key: str, state: str, *, job: str = "", error: str = "") -> None:
        with self._writing() as rows:
            rows.execute(
                "UPDATE calls SET state = ?, job = ?, error = ?,"
                " body = CASE WHEN ? THEN x'' ELSE body END WHERE key = ?",
                (state, job or None, error or None, state == SENT, key),
            )

    def _known_spec(self, service: str) -> ServiceSpec | None:
        cached = self._client._specs.get(service)
        if cached is not None:
            return cached
        with self._lock:
            found = self._rows.execute(
                "SELECT document FROM specs WHERE service = ?", (service,)
            ).fetchone()
        return ServiceSpec.from_dict(json.loads(found[0])) if found is not None else None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._rows.execute("BEGIN IMMEDIATE")
            try:
                yield self._rows
            except BaseException:
                self._rows.execute("ROLLBACK")
                raise
            self._rows.execute("COMMIT")


def _error(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found.get(name) for name in ("code", "message", "details")} | {
        "request_id": found.get("request_id") or ""
    }
