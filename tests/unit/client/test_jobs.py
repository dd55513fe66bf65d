"""Jobs of clients while their server is away for a moment."""

from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from easymlnb.client import patience
from easymlnb.client.job_events import JobEventReader
from easymlnb.client.jobs import AsyncJob, Job
from easymlnb.contract.errors import (
    Draining,
    EasyMLNBError,
    JobNotFinished,
    JobNotFound,
    NotReady,
    ServerUnreachable,
    WorkerLost,
)

INFO = {"id": "j", "kind": "call", "service": "f", "state": "queued"}
AWAY = [ServerUnreachable("It is gone."), NotReady("It starts."), Draining()]


class Client:
    """Answers with what it is given; errors are raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.last: list[int] = []

    def _run(self, operation: Any) -> Any:
        found = self.answers.pop(0)
        if isinstance(found, EasyMLNBError):
            raise found
        return found

    def _output(self, service: str) -> Any:
        return {}

    def _events(self, request: Any, reader: JobEventReader) -> Iterator[Any]:
        self.last.append(reader.last)
        for event in self.answers.pop(0):
            if isinstance(event, EasyMLNBError):
                raise event
            if isinstance(event, bytes):
                yield from reader.feed(event)
                continue
            reader.last, reader.ended = event["n"], event["n"] == 3
            yield event


class AsyncClient(Client):
    async def _run(self, operation: Any) -> Any:
        return super()._run(operation)

    async def _output(self, service: str) -> Any:
        return {}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE", 0.0)


def done(state: str = "succeeded") -> dict[str, Any]:
    return INFO | {"state": state}


def test_a_result_is_waited_for_while_the_server_is_started_again() -> None:
    client: Any = Client(*AWAY, INFO, *AWAY, done(), AWAY[0], 42)
    assert Job(client, INFO).result() == 42 and not client.answers


async def test_so_it_is_by_the_async_client() -> None:
    client: Any = AsyncClient(*AWAY, INFO, AWAY[0], done(), AWAY[1], 42)
    assert await AsyncJob(client, INFO) == 42 and not client.answers


@pytest.mark.parametrize("error", [JobNotFound(), WorkerLost()])
def test_other_errors_are_raised(error: EasyMLNBError) -> None:
    client: Any = Client(done(), error)
    with pytest.raises(type(error)):
        Job(client, INFO).result()


def test_a_server_that_does_not_come_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    away: Any = Client(AWAY[1])
    with pytest.raises(NotReady):  # the caller waits no longer
        Job(away, INFO).wait(0.0)
    client: Any = Client(AWAY[0])
    monkeypatch.setattr(patience, "PATIENCE", 0.0)
    with pytest.raises(ServerUnreachable):
        Job(client, INFO).wait()
    waiting: Any = Client(INFO)
    with pytest.raises(JobNotFinished):
        Job(waiting, INFO).wait(0.0)


def test_events_continue_after_the_last_one() -> None:
    events = [[{"n": 1}, AWAY[0]], [AWAY[1]], [{"n": 2}, AWAY[2]], [{"n": 3}]]
    client: Any = Client(*events)
    assert [event["n"] for event in Job(client, INFO).events()] == [1, 2, 3]
    assert client.last == [0, 1, 1, 2]


def test_connection_without_events_begins_another_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count(0.0, 50.0)
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    client: Any = Client(*[[b":\n\n", AWAY[0]]] * 5, [{"n": 3}])
    assert [event["n"] for event in Job(client, INFO).events()] == [3]
    client = Client(*[[AWAY[0]]] * 3)
    with pytest.raises(ServerUnreachable):
        list(Job(client, INFO).events())
