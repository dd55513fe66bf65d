"""A call answers the same live and published, and what the function answers in a cell."""

import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from support.kernels import NotebookKernel
from support.notebooks import make_notebook
from support.server import RunningServer

CELLS = (
    """
import asyncio, contextvars, decimal, threading, time
import numpy as np
import easymlnb as ml
""",
    # What belongs to the loop of the cells, made in cells.
    """
lock, queue, loop = asyncio.Lock(), asyncio.Queue(), asyncio.get_running_loop()

async def hold():
    async with lock:
        await asyncio.sleep(0.01)

async def answer_all():
    while True:
        value, answer = await queue.get()
        answer.set_result(value + 1)

task = asyncio.create_task(answer_all())
await asyncio.gather(hold(), hold())  # one waits for the other, so the lock belongs to this loop

class Client:
    def __init__(self):
        self.lock = lock

    async def ask(self, x):
        async with self.lock:
            answer = loop.create_future()
            await queue.put((x, answer))
            return await answer

client = Client()
""",
    """
@ml.service
def runs(x: int) -> int:
    return asyncio.run(asyncio.sleep(0.01, x + 1))

@ml.service
async def locked(x: int) -> int:
    await asyncio.gather(hold(), hold())
    return x + 1

@ml.service
async def asks(x: int) -> int:
    return await client.ask(x)

@ml.service
async def streams(x: int):
    for _ in range(2):
        yield await client.ask(x)

@ml.service(concurrency=1)
async def asks_alone(x: int) -> int:
    return await client.ask(x)

@ml.service
def asks_plainly(x: int) -> int:
    return asyncio.run_coroutine_threadsafe(client.ask(x), loop).result(20)
""",
    """
mine, who = threading.local(), contextvars.ContextVar("who", default="nobody")

@ml.service
def settings() -> list[str]:
    with np.errstate(over="ignore"):
        pass
    return [str(decimal.Decimal(1) / 7), who.get(), getattr(mine, "x", ""), np.geterr()["divide"]]

@ml.service
async def settings_async() -> list[str]:
    return settings()
""",
    """
import sqlite3
table = sqlite3.connect(":memory:")

@ml.service
def reads() -> list[int]:
    return [row[0] for row in table.execute("SELECT 7")]
""",
    """
try:
    import aiohttp
    session = aiohttp.ClientSession()
except ImportError:
    session = None

@ml.service
async def fetches(url: str) -> int:
    async with session.get(url) as page:
        return page.status
""",
    """
import matplotlib.pyplot as plt
from IPython.display import display

@ml.service
def draws(n: int, seconds: float = 0):
    for at in range(n):
        plt.plot([0, at])
        time.sleep(seconds / n)
    lines = len(plt.gca().lines)
    if n == 1:
        plt.show()
        display("shown")
    plt.figure()
    return [lines, len(plt.get_fignums())]
""",
    """
decimal.getcontext().prec = 40
who.set("author")
mine.x = "here"
_ = np.seterr(divide="raise")
""",
)
SETTINGS = ["0.1428571428571428571428571428571428571429", "author", "here", "raise"]

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def kernel(session_server: RunningServer) -> Iterator[NotebookKernel]:
    """A live notebook of these cells, which is also published."""
    made = NotebookKernel(session_server.http, "same.ipynb")
    for source in CELLS:
        assert made.run(source).error == ""
    found = session_server.publish(make_notebook(*CELLS), "same.ipynb")
    assert found["state"] == "ready", found
    yield made
    made.close()


@pytest.fixture(params=["live/call", "call"])
def ask(
    session_server: RunningServer, kernel: NotebookKernel, request: pytest.FixtureRequest
) -> Ask:
    """Call a service of the notebook, live or published."""
    return lambda name, **values: session_server.http.post(
        f"services/{name}/{request.param}", json=values
    )


@pytest.mark.parametrize("name", ["runs", "locked", "asks", "asks_alone", "asks_plainly"])
def test_coroutines_and_what_belongs_to_the_loop_of_the_cells(ask: Ask, name: str) -> None:
    for x in range(3):
        answer = ask(name, x=x)
        assert (answer.status_code, answer.text) == (200, str(x + 1))


def test_streams_of_what_belongs_to_the_loop_of_the_cells(ask: Ask) -> None:
    answer = ask("streams", x=4)
    assert (answer.status_code, answer.text) == (200, "5\n5\n")


@pytest.mark.parametrize("name", ["settings", "settings_async"])
def test_settings_that_cells_made_for_their_thread(ask: Ask, name: str) -> None:
    assert ask(name).json() == SETTINGS


@pytest.mark.skipif(find_spec("aiohttp") is None, reason="aiohttp is not installed")
def test_a_session_that_a_cell_opened(session_server: RunningServer, ask: Ask) -> None:
    url = f"{session_server.url}easymlnb/health/live"
    for _ in range(3):
        assert ask("fetches", url=url).text == "200"


def test_live_calls_see_what_a_running_cell_sets(
    session_server: RunningServer, kernel: NotebookKernel, tmp_path: Path
) -> None:
    begun, over = tmp_path / "begun", tmp_path / "over"
    cell = kernel.send(
        "import os, time\n"
        "decimal.getcontext().prec = 5\nwho.set('cell')\nmine.x = 'there'\n"
        f"open({str(begun)!r}, 'w').close()\n"
        f"while not os.path.exists({str(over)!r}):\n    time.sleep(0.01)\n"
        "decimal.getcontext().prec = 40\nwho.set('author')\nmine.x = 'here'"
    )
    session_server.wait_for(begun.exists, "the cell does not run")
    try:
        found = [
            session_server.http.post(f"services/{name}/live/call").json()
            for name in ("settings", "settings_async")
        ]
    finally:
        over.touch()
    assert kernel.wait(cell).error == ""
    assert found == [["0.14286", "cell", "there", "raise"]] * 2


def test_a_call_waits_for_the_cell_whose_loop_it_needs(
    session_server: RunningServer, kernel: NotebookKernel
) -> None:
    ran = kernel.run(
        "import time, httpx, threading\n"
        "found = []\n"
        f"url = {session_server.url!r} + 'easymlnb/services/asks/live/call'\n"
        f"headers = {{'Authorization': 'token {session_server.token}'}}\n"
        "def send():\n"
        "    found.append(httpx.post(url, json={'x': 1}, headers=headers, timeout=50).text)\n"
        "thread = threading.Thread(target=send)\nthread.start()\ntime.sleep(1)\nprint(found)"
    )
    assert (ran.stdout, ran.error) == ("[]\n", "")
    assert kernel.run("await asyncio.to_thread(thread.join)\nprint(found)").stdout == "['2']\n"


def test_what_a_call_sets_ends_with_it(
    session_server: RunningServer, kernel: NotebookKernel
) -> None:
    ran = kernel.run(
        "@ml.service\n"
        "def sets(digits: int) -> int:\n"
        "    decimal.getcontext().prec = digits\n    who.set('call')\n    mine.x = 'call'\n"
        "    return digits"
    )
    assert ran.error == ""
    assert session_server.http.post("services/sets/live/call", json={"digits": 3}).text == "3"
    assert session_server.http.post("services/settings/live/call").json() == SETTINGS
    ran = kernel.run("print([str(decimal.Decimal(1) / 7), who.get(), mine.x])")
    assert ran.stdout == f"{SETTINGS[:3]}\n"


def test_an_object_of_the_cells_thread_says_what_to_do(
    session_server: RunningServer, kernel: NotebookKernel
) -> None:
    answer = session_server.http.post("services/reads/live/call")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "call_failed")
    trace = session_server.http.get("services/reads/log").json()["entries"][-1]["trace"]
    assert "check_same_thread=False" in trace and "live-and-published" in trace
    assert session_server.call("reads").json() == [7]


def test_each_call_has_its_own_figures(ask: Ask) -> None:
    found = {}

    def draw(n: int) -> None:
        found[n] = ask("draws", n=n, seconds=0.5).json()

    callers = [threading.Thread(target=draw, args=(n,)) for n in (2, 3, 4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == {n: [n, 2] for n in (2, 3, 4)}
    assert ask("draws", n=2).json() == [2, 2]


def test_nothing_that_a_call_draws_is_under_the_cell(
    session_server: RunningServer, kernel: NotebookKernel, tmp_path: Path
) -> None:
    begun, over = tmp_path / "begun", tmp_path / "over"
    cell = kernel.send(
        "import os\nplt.plot([1, 2])\n"
        f"open({str(begun)!r}, 'w').close()\n"
        f"while not os.path.exists({str(over)!r}):\n    time.sleep(0.01)\n"
        "print(plt.get_fignums(), len(plt.gca().lines))"
    )
    session_server.wait_for(begun.exists, "the cell does not run")
    try:
        # `show` closes what it shows, in a cell as in a call.
        assert [call_draws(session_server, n) for n in (1, 3)] == [[1, 1], [3, 2]]
    finally:
        over.touch()
    ran = kernel.wait(cell)
    assert (ran.stdout, ran.error) == ("[1] 1\n", "")
    assert [sorted(display) for display in ran.displays] == [["image/png", "text/plain"]]
    after = kernel.run(
        "import matplotlib_inline.backend_inline as inline\n"
        "print(plt.get_fignums(), inline.show._to_draw)"
    )
    assert (after.stdout, after.displays) == ("[] []\n", [])
    log = session_server.http.get("services/draws/log").json()["entries"][-2]["log"]
    assert log == "<Figure size 640x480 with 1 Axes>\n'shown'\n"


def call_draws(server: RunningServer, n: int) -> list[int]:
    found: list[int] = server.http.post("services/draws/live/call", json={"n": n}).json()
    return found
