"""A worker without a notebook: run as a script by the tests of the worker's loop."""

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator

from easymlnb.contract.errors import CallerError
from easymlnb.contract.spec import Batch
from easymlnb.contract.worker_protocol import Hello, Register, pack
from easymlnb.runtime.context import progress
from easymlnb.runtime.link import Link
from easymlnb.runtime.worker import Worker
from easymlnb.services.batching import Batched
from easymlnb.services.definition import Service, define


def double(x: int) -> int:
    print("seen", x)
    return 2 * x


def spin(seconds: float) -> float:
    progress(0)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
    return seconds


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def count(n: int) -> Iterator[int]:
    try:
        yield from range(n)
    finally:
        closed.append(n)


async def pause_beside(seconds: float) -> str:
    """Say when it ends."""
    print("naps", seconds)
    progress(0)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        print("stopped")
        raise
    return f"{seconds:g}"


async def count_beside(n: int, size: int = 1) -> AsyncIterator[str]:
    try:
        for _ in range(n):
            yield "x" * size
    finally:
        closed.append(n)


def pieces(n: int, size: int) -> Iterator[str]:
    for _ in range(n):
        yield "x" * size


def was_closed() -> list[int]:
    return closed


def stubborn() -> int:
    """Swallow one interrupt, then come to an end."""
    try:
        progress(0)
        while True:
            time.sleep(0.01)
    except BaseException:
        return 1


def forks() -> int:
    """Come back twice, as a function does that forgets to end its child."""
    os.fork()
    return os.getpid()


def pause(seconds: Batched[float]) -> list[float]:
    spin(max(seconds))
    sizes.append(len(seconds))
    return seconds


def were_together() -> list[int]:
    """Return the sizes of batches since this was asked last."""
    found = sizes[:]
    sizes.clear()
    return found


def frozen() -> int:
    """Return how many objects are not looked at when garbage is searched for."""
    return gc.get_freeze_count()


LONE = "\ud83d"
"""A lone surrogate, which has no UTF-8 form."""


def says(text: str = LONE) -> int:
    print("said", text)
    progress(0.5, text)
    return 1


def returns_lone() -> list[str]:
    return ["x", LONE]


def yields_lone() -> Iterator[str]:
    yield "x"
    yield LONE


def raises_lone(kind: str) -> int:
    if kind == "group":
        raise ExceptionGroup(LONE, [ValueError(LONE)])
    raise CallerError(LONE, details={LONE: object()}) if kind == "caller" else ValueError(LONE)


async def exits_beside() -> int:
    sys.exit(LONE)


async def exits_in_a_task() -> int:
    """Let a task raise what ends the event loop that it runs on."""

    async def leave() -> None:
        sys.exit(LONE)

    leaving = asyncio.ensure_future(leave())
    await asyncio.sleep(0.05)
    return int(leaving.done())


closed: list[int] = []
sizes: list[int] = []
FUNCTIONS = (
    *(double, spin, nap, count, was_closed, stubborn, forks, were_together, frozen),
    *(pause_beside, count_beside, pieces),
    *(says, returns_lone, yields_lone, raises_lone, exits_beside, exits_in_a_task),
)


def main() -> None:
    services: dict[str, Service] = {f.__name__: define(f) for f in FUNCTIONS}
    services["pause"] = define(pause, batch=Batch())
    link = Link(sys.argv[1], "secret")
    specs = tuple(service.spec for service in services.values())
    link.send(pack(Hello(kernel="w", source="")) + pack(Register(specs=specs)))
    Worker(link, services).run()


if __name__ == "__main__":
    main()
