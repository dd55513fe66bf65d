"""Which event loop a coroutine runs on: that of what it uses, else one for all."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from easymlnb.runtime import event_loop
from easymlnb.runtime.bound import uses_loop


@dataclass
class Session:
    """What libraries make for one loop."""

    _loop: asyncio.AbstractEventLoop


class Client:
    def __init__(self, session: Any) -> None:
        self.sessions = {"first": [session]}

    async def ask(self) -> Any:
        return self.sessions["first"]


SESSION: Any = None


class Indirect:
    async def ask(self) -> Any:
        return SESSION


@pytest.fixture
def cells() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


def names_it() -> Any:
    return SESSION


def names_it_inside() -> Any:
    return [lambda: SESSION]


async def awaits_it() -> Any:
    return names_it()


async def streams_it() -> AsyncIterator[Any]:
    yield names_it_inside()


@functools.cache
def made_once() -> Any:
    return SESSION


@functools.wraps(awaits_it)
async def wrapped(*given: Any) -> Any:
    return await awaits_it(*given)


def closure(held: Any) -> Callable[[], Any]:
    return lambda: held


@pytest.mark.parametrize(
    "of",
    [
        lambda session: names_it,
        lambda session: names_it_inside,
        lambda session: awaits_it,
        lambda session: streams_it,
        lambda session: streams_it(),
        lambda session: wrapped,
        lambda session: made_once,
        lambda session: functools.partial(names_it, 1),
        lambda session: closure(session),
        lambda session: closure(session._loop),
        lambda session: closure(Client(session)),
        lambda session: Client(session).ask,
        lambda session: Indirect().ask,
    ],
)
def test_what_a_function_uses_is_found(
    monkeypatch: pytest.MonkeyPatch, cells: asyncio.AbstractEventLoop, of: Callable[[Any], Any]
) -> None:
    session = Session(cells)
    monkeypatch.setitem(globals(), "SESSION", session)
    made_once()
    try:
        assert uses_loop(of(session), cells)
        other = asyncio.new_event_loop()
        assert not uses_loop(of(session), other)
        other.close()
    finally:
        made_once.cache_clear()


def test_a_coroutine_runs_on_the_loop_of_what_it_uses(
    monkeypatch: pytest.MonkeyPatch, cells: asyncio.AbstractEventLoop
) -> None:
    async def noted() -> None:
        event_loop.note_cells()

    monkeypatch.setattr(event_loop, "_known", [event_loop.shared_loop()])
    asyncio.run_coroutine_threadsafe(noted(), cells).result()

    async def where() -> int:
        assert names_it
        return id(asyncio.get_running_loop())

    async def each() -> AsyncIterator[int]:
        for _ in range(2):
            yield await where()

    usual, here = id(event_loop.shared_loop()), id(cells)
    assert (event_loop.await_result(where()), list(event_loop.iterate(each()))) == (
        usual,
        [usual, usual],
    )
    monkeypatch.setitem(globals(), "SESSION", Session(cells))
    assert (event_loop.await_result(where()), list(event_loop.iterate(each()))) == (
        here,
        [here, here],
    )


def test_waiting_for_the_loop_of_this_very_thread_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def waits() -> None:
        monkeypatch.setattr(
            event_loop, "_known", [event_loop.shared_loop(), asyncio.get_running_loop()]
        )
        session = Session(asyncio.get_running_loop())

        async def work() -> Any:
            return session

        with pytest.raises(RuntimeError, match="wait for itself"):
            event_loop.await_result(work())

    asyncio.run(waits())


def test_large_data_is_not_searched(cells: asyncio.AbstractEventLoop) -> None:
    data = [Session(cells) for _ in range(1000)]
    assert not uses_loop(closure(data), cells)
