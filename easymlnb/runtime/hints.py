"""Hints for authors about errors that depend on where a call runs."""

import re
import threading

PAGE = "docs/guides/live-and-published.md lists what differs."

ALONE = "A live call runs in its own thread,"

THREAD = {
    "SQLite objects created in a thread": f"{ALONE} and the connection belongs to the thread of "
    "the cells. Open it with sqlite3.connect(..., check_same_thread=False), or in the function.",
    "OperationalError.*no such table": f"{ALONE} and a database in memory may belong to the "
    "thread of the cells. Use a file, or with SQLAlchemy create_engine(..., "
    'poolclass=StaticPool, connect_args={"check_same_thread": False}).',
    "AttributeError: '[^']*local' object has no attribute": f"{ALONE} and this object has "
    "different values in each thread. Set them in the function, or use a ContextVar.",
    "only works in main thread": f"{ALONE} where Python allows no signal handlers. Set them in a "
    "cell, or publish the service: calls of published services run in the main thread.",
    "annot switch to a different thread|main thread is not in main loop": f"{ALONE} and this "
    "object belongs to the thread of the cells. Create it in the function.",
}
"""Patterns of messages that occur only in calls outside the main thread, and what to do."""

LOOP = {
    "attached to a different loop|bound to a different event loop|Event loop is closed"
    "|Timeout context manager should be used inside a task": "An object of one event loop was "
    "used in another event loop. Create it in a cell, outside any function, and use it in "
    "'async def' services, without asyncio.run.",
    r"asyncio\.run\(\) cannot be called from|This event loop is already running": "Write 'await' "
    "instead, or make the service a synchronous function.",
    "no running event loop": "Create it in a cell, or in an 'async def'.",
    "no current event loop in thread": "A synchronous service has no event loop. Use "
    "asyncio.run(...), or make the service 'async def'.",
}
"""The same for all calls."""


def advise(error: BaseException) -> None:
    """Add a note to an error about what the author can do, or about its cause."""
    off_main = threading.current_thread() is not threading.main_thread()
    table = THREAD | LOOP if off_main else LOOP
    cause: BaseException | None = error
    for _ in range(10):  # deeper causes are rarely the reason
        if cause is None:
            return
        text = f"{type(cause).__name__}: {cause}"
        advice = next((what for pattern, what in table.items() if re.search(pattern, text)), None)
        if advice is not None:
            error.add_note(f"{advice} {PAGE}")
            return
        cause = cause.__cause__ or cause.__context__
