"""Form kernels: processes that run the pages of visitors, and no code of authors."""

import asyncio
import contextlib
import logging
import os
import shutil
import site
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from easymlnb.contract.page_protocol import (
    LENGTH,
    FromSession,
    Ready,
    ToKernel,
    pack,
    to_server,
)

ENVIRONMENT = (
    "PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX",
    "PYTHONPATH", "PYTHONHASHSEED", "SYSTEMROOT",
)  # fmt: skip
"""Variables that a form kernel inherits. It calls only this server, so it needs no proxies."""

START_TIMEOUT = 60.0
STOP_TIMEOUT = 2.0

MAX_FRAME_BYTES = 2**30

MAX_LINE = 500

log = logging.getLogger("easymlnb.apps")


class FormKernel:
    """One process; ``on_message`` is called with its messages.

    sessions: ids of the sessions that it runs.
    audience: ``user`` or ``public``; visitors with and without a login share no process.
    served: sessions since the start.
    is_large: whether its memory is near the limit.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        folder: str,
        on_message: Callable[[FromSession], None],
    ) -> None:
        self.pid = process.pid
        self.sessions: set[str] = set()
        self.audience = ""
        self.served = 0
        self.is_large = False
        self.empty_since = time.monotonic()
        self._process = process
        self._folder = folder
        self._on_message = on_message
        self._ready = asyncio.Event()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._log())]

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._tasks[0].done()

    @property
    def ready(self) -> bool:
        return self.alive and self._ready.is_set()

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self.pid).memory_info().rss)
        return 0

    async def wait_ready(self) -> None:
        """Return when the kernel is ready, has ended, or did not start in time."""
        done = asyncio.create_task(self._ready.wait())
        await asyncio.wait(
            (done, self._tasks[0]), timeout=START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
        done.cancel()

    def send(self, message: ToKernel) -> None:
        """Send a message, unless the kernel has ended."""
        writer = self._process.stdin
        if writer is not None and self.alive and not writer.is_closing():
            writer.write(pack(message))

    async def stop(self) -> None:
        """Stop the kernel: close its input, and kill it if it does not exit."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError, ProcessLookupError):
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._process.wait()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _listen(self) -> None:
        reader = self._process.stdout
        assert reader is not None
        try:
            while True:
                (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                if size > MAX_FRAME_BYTES:
                    raise ValueError("The form kernel sent a frame that is too long.")
                message = to_server(await reader.readexactly(size))
                if isinstance(message, Ready):
                    self._ready.set()
                else:
                    self._on_message(message)
        except asyncio.IncompleteReadError:
            pass  # The kernel ended.
        except ValueError as error:
            log.error("A form kernel sent an invalid message: %s", error)

    async def _log(self) -> None:
        reader = self._process.stderr
        assert reader is not None
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                continue  # The line is too long.
            if not line:
                return
            text = line.decode(errors="replace").rstrip()[:MAX_LINE]
            log.warning("form kernel %s: %s", self.pid, text)


async def start(
    on_message: Callable[[FromSession], None],
    *,
    memory: int,
    cafile: str,
    parent: Path | None = None,
) -> FormKernel:
    """Start a form kernel in a new folder in ``parent``; it is not ``ready`` yet."""
    # Not in a thread: a start that is canceled meanwhile would leave it behind.
    folder = tempfile.mkdtemp(prefix="form-kernel-", dir=parent)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in ENVIRONMENT or name.startswith("LC_")
    } | {
        "HOME": folder,
        "TMPDIR": folder,
        "IPYTHONDIR": folder,
        "JUPYTER_PLATFORM_DIRS": "1",
        "EASYMLNB_MEMORY": str(memory),
        "EASYMLNB_CAFILE": cafile,
        # Libraries would start a thread, and its buffers, for each core.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        # A page needs no confirmation of what it has set: no other one has the same widgets.
        "JUPYTER_WIDGETS_ECHO": "0",
    }
    if site.ENABLE_USER_SITE:
        environment["PYTHONUSERBASE"] = site.getuserbase()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "easymlnb.apps.form_kernel",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FormKernel(process, folder, on_message)
