"""Form kernels: processes of ours that carry the pages of visitors. They run no author's code."""

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

import psutil

from easymlnb.contract.page_protocol import (
    LENGTH,
    FromSession,
    Ready,
    ToKernel,
    ToServer,
    pack,
    to_server,
)

ENVIRONMENT = (
    "PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX",
    "PYTHONPATH", "PYTHONHASHSEED", "SYSTEMROOT",
)  # fmt: skip
"""Variables a form kernel inherits; it calls this server only, so it needs no proxies either."""

START_SECONDS = 60.0

MANY_BYTES = 2**30
"""Bytes of one frame of a kernel."""

LONG_LINE = 500

log = logging.getLogger("easymlnb.apps")


class FormKernel:
    """One process. ``told`` takes what it says for a place, ``ended`` its end."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        folder: str,
        told: Callable[[FromSession], None],
    ) -> None:
        self.pid = process.pid
        self.places: set[str] = set()
        self.audience = ""
        """Whether its visitors are logged in; those of one kind only share a process."""
        self.emptied = time.monotonic()
        self._process = process
        self._folder = folder
        self._told = told
        self._up = asyncio.Event()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._log())]

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._tasks[0].done()

    @property
    def ready(self) -> bool:
        return self.alive and self._up.is_set()

    def memory(self) -> int:
        """Return its resident bytes."""
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self.pid).memory_info().rss)
        return 0

    async def wait(self) -> None:
        """Return when it is ready or dead."""
        done = asyncio.create_task(self._up.wait())
        await asyncio.wait(
            (done, self._tasks[0]), timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        done.cancel()

    def say(self, message: ToKernel) -> None:
        """Send it a message; a dead one takes none."""
        writer = self._process.stdin
        if writer is not None and self.alive and not writer.is_closing():
            writer.write(pack(message))

    async def gone(self) -> None:
        """Return when it has ended."""
        await asyncio.wait((self._tasks[0],))

    async def stop(self) -> None:
        """End it: it leaves by itself when the line is closed, and is made to when it is stuck."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError, ProcessLookupError):
            async with asyncio.timeout(2):
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
                if size > MANY_BYTES:
                    raise ValueError("The form kernel sent a frame that is too long.")
                self._take(to_server(await reader.readexactly(size)))
        except asyncio.IncompleteReadError:
            pass  # It ended.
        except ValueError as error:
            log.error("A form kernel sent an invalid message: %s", error)

    def _take(self, message: ToServer) -> None:
        if isinstance(message, Ready):
            self._up.set()
        else:
            self._told(message)

    async def _log(self) -> None:
        reader = self._process.stderr
        assert reader is not None
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                continue  # A line longer than any of ours.
            if not line:
                return
            text = line.decode(errors="replace").rstrip()[:LONG_LINE]
            log.warning("form kernel %s: %s", self.pid, text)


async def start(told: Callable[[FromSession], None], *, memory: int, cafile: str) -> FormKernel:
    """Start a form kernel in a folder of its own; it is not ``ready`` yet."""
    folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="emnb-app-")
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
    return FormKernel(process, folder, told)
