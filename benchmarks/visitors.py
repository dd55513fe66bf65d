"""Many visitors of one app page at once: each has it open, types, clicks Run, reads the result.

``python benchmarks/visitors.py [--visitors 500] [--seconds 60]``. They speak as a browser does,
over HTTP and one WebSocket each, and click every ten seconds on average, at moments of their own.
"""

import argparse
import asyncio
import contextlib
import json
import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import psutil
from common import easymlnb, publish, server
from websockets.asyncio.client import ClientConnection, connect

SOURCE = """
import easymlnb as ml

@ml.service(public=True)
def echo(text: str = "x") -> str:
    return f"<{text}>"
"""
PAUSE = 10.0
AT_ONCE = 20
"""How many open their page at the same time."""


class Visitor:
    """One page that is open."""

    def __init__(self, number: int, line: ClientConnection) -> None:
        self.number = number
        self._line = line
        self._count = 0
        self._field = self._button = ""

    async def say(self, kind: str, content: Any) -> None:
        self._count += 1
        header = {"msg_id": f"m{self._count}", "msg_type": kind, "session": "s", "username": ""}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await self._line.send(json.dumps({**message, "channel": "shell"}))

    async def hear(self) -> str:
        found = await asyncio.wait_for(self._line.recv(), 60)
        return found if isinstance(found, str) else found[4:].decode("utf-8", "replace")

    async def look(self) -> None:
        """Get the widgets of the form."""
        await self.say("comm_open", {"comm_id": "c", "target_name": "jupyter.widget.control"})
        await self.say("comm_msg", {"comm_id": "c", "data": {"method": "request_states"}})
        while '"states"' not in (text := await self.hear()):
            pass
        # With buffers the message begins with where they are.
        message = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
        states = message["content"]["data"]["states"]
        for name, one in states.items():
            state = one["state"]
            if state.get("_model_name") == "TextModel" and state.get("value") == "x":
                self._field = name
            if "em-primary" in state.get("_dom_classes", ()):
                self._button = name

    async def click(self, turn: int) -> float:
        """Type something of one's own and run; returns the seconds until the answer is there."""
        text = f"v{self.number}t{turn}"
        state = {"method": "update", "state": {"value": text}}
        await self.say("comm_msg", {"comm_id": self._field, "data": state})
        began = time.perf_counter()
        click = {"method": "custom", "content": {"event": "click"}}
        await self.say("comm_msg", {"comm_id": self._button, "data": click})
        while f"v{self.number}t{turn}&gt;" not in (heard := await self.hear()):
            others = set(re.findall(r"&lt;v(\d+)t", heard)) - {str(self.number)}
            if others:
                raise RuntimeError(f"visitor {self.number} was shown what {others} got")
        return time.perf_counter() - began


@contextlib.asynccontextmanager
async def opened(url: str, number: int, gate: asyncio.Semaphore) -> Any:
    """Open a page; yields the visitor, with the seconds that it took."""
    async with contextlib.AsyncExitStack() as stack:
        async with gate, httpx.AsyncClient(timeout=120, verify=False) as client:
            began = time.perf_counter()
            page = await client.get(f"{url}public/echo")
            while not (found := re.search(r'"kernelId": "([0-9a-f-]+)"', page.text)):
                await asyncio.sleep(float(page.headers["Retry-After"]))
                page = await client.get(f"{url}public/echo")
            cookies = "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar)
            way = f"{url}public/echo/api/kernels/{found[1]}/channels".replace("http", "ws", 1)
            # A browser reads all the time. With the usual queue of 16 messages, a visitor who waits
            # for the next click would read nothing any more, not even the answers to pings.
            headers = {"Cookie": cookies}
            line = await stack.enter_async_context(
                connect(way, additional_headers=headers, max_size=None, max_queue=None)
            )
            visitor = Visitor(number, line)
            await visitor.look()
            took = time.perf_counter() - began
        yield visitor, took


class Crowd:
    """What all together do, and what came of it."""

    def __init__(self, count: int, seconds: float) -> None:
        self.opened: list[float] = []
        self.clicked: list[float] = []
        self.complete = asyncio.Event()
        self.measured = asyncio.Event()
        self._count = count
        self._seconds = seconds
        self._until = 0.0

    @property
    def left(self) -> float:
        return max(0.0, self._until - time.monotonic())

    async def join(self, took: float) -> None:
        """Take note of a page that is open, and wait for the others."""
        self.opened.append(took)
        if len(self.opened) == self._count:
            self._until = time.monotonic() + self._seconds
            self.complete.set()
        await self.complete.wait()


async def stay(url: str, number: int, gate: asyncio.Semaphore, crowd: Crowd) -> None:
    chance = random.Random(number)
    async with opened(url, number, gate) as (visitor, took):
        await crowd.join(took)
        turn = 0
        while (pause := chance.expovariate(1 / PAUSE)) < crowd.left:
            await asyncio.sleep(pause)
            crowd.clicked.append(await visitor.click(turn))
            turn += 1
        await crowd.measured.wait()


def forms(url: str) -> Iterator[psutil.Process]:
    for one in server(url).children():
        with contextlib.suppress(psutil.Error):
            if "easymlnb.apps.form_kernel" in one.cmdline():
                yield one


def held(url: str) -> tuple[int, float, float]:
    """Return the form kernels, and the MB that they and the server have to themselves."""
    kernels = [one.memory_full_info().uss / 1e6 for one in forms(url)]
    return len(kernels), sum(kernels), server(url).memory_full_info().uss / 1e6


def processor_time(url: str) -> dict[str, float]:
    """Return the seconds of processor time that each kind of process took so far."""
    kinds = {
        "server": [server(url)],
        "form kernels": list(forms(url)),
        "this script": [psutil.Process()],
    }
    return {
        kind: sum(sum(one.cpu_times()[:2]) for one in members) for kind, members in kinds.items()
    }


async def visit(url: str, count: int, seconds: float) -> None:
    crowd, gate = Crowd(count, seconds), asyncio.Semaphore(AT_ONCE)
    before, spent = held(url), processor_time(url)
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(stay(url, number, gate, crowd))
        await crowd.complete.wait()
        print(f"| all {count} pages open, {AT_ONCE} at a time | {time.monotonic() - began:.1f} s |")
        for kind, total in processor_time(url).items():
            each = (total - spent[kind]) / count * 1e3
            print(f"| processor time per page opened, {kind} | {each:.1f} ms |")
        await asyncio.sleep(seconds)
        after = await asyncio.to_thread(held, url)
        crowd.measured.set()
    pages, clicks = quantiles(crowd.opened, n=100), quantiles(crowd.clicked, n=100)
    rows = {
        "a page, to its form, p50 and p99": f"{pages[49]:.2f} s, {pages[98]:.2f} s",
        "clicks, each answered with its own": len(crowd.clicked),
        "click to answer, p50 and p99": f"{clicks[49] * 1e3:.0f} ms, {clicks[98] * 1e3:.0f} ms",
        "form kernels before and with all": f"{before[0]}, {after[0]}",
        "their memory per visitor": f"{(after[1] - before[1]) / count:.2f} MB",
        "memory of the server per visitor": f"{(after[2] - before[2]) / count:.3f} MB",
    }
    for what, found in rows.items():
        print(f"| {what} | {found} |")


def leave(url: str) -> None:
    """Tell how long it takes until no more form kernels are there than before."""
    began = time.monotonic()
    while len(list(forms(url))) > 2 and time.monotonic() - began < 180:
        time.sleep(1)
    took = time.monotonic() - began
    print(f"| form kernels when all have left | {len(list(forms(url)))}, after {took:.0f} s |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    most = options.visitors + 10
    limits = dict.fromkeys(("app_pages", "app_public_pages", "app_pages_per_service"), most)
    with (
        tempfile.TemporaryDirectory() as name,
        easymlnb(Path(name), app_reconnect_timeout=3, **limits) as url,
    ):
        publish(url, SOURCE, "echo")
        asyncio.run(visit(url, options.visitors, options.seconds))
        leave(url)


if __name__ == "__main__":
    main()
