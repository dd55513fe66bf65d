"""Worker kernels as processes on the server's own machine."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psutil
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager

from easymlnb.contract.errors import NotReady
from easymlnb_server.placement.base import Order

ENVIRONMENT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM",
    "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHASHSEED", "LD_LIBRARY_PATH", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
    "no_proxy", "SYSTEMROOT",
)  # fmt: skip
PREFIXES = ("LC_", "CONDA_", "CUDA_", "NVIDIA_", "OMP_", "MKL_", "OPENBLAS_", "HF_", "XDG_")
"""Variables a worker inherits. The server's own secrets are not among them."""

SECRET = re.compile("TOKEN|SECRET|PASSWORD|KEY")
"""What a variable with one of the prefixes must not have in its name."""

CONNECT_TIMEOUT = 60.0

MARK = "EASYMLNB_WORKER"
"""Variable with a worker's name: whatever it starts inherits it and is found by it."""

SOCKETS = "emnb-"
"""How the folders of workers' sockets begin, in the folder for temporary files."""


def worker_environment(source: dict[str, str], extra: Iterable[str]) -> dict[str, str]:
    """Return the part of an environment that workers get; ``extra`` names more variables."""
    wanted = {*ENVIRONMENT, *extra}
    return {
        name: value
        for name, value in source.items()
        if name in wanted or (name.startswith(PREFIXES) and not SECRET.search(name))
    }


class LocalKernel:
    """A kernel process of ours, and all processes that it started."""

    def __init__(
        self, manager: AsyncKernelManager, worker: str, sockets: Path, record: Path
    ) -> None:
        self.manager = manager
        self.client: AsyncKernelClient = manager.client()
        self._worker = worker
        self._sockets = sockets
        self._record = record

    async def alive(self) -> bool:
        return bool(await self.manager.is_alive())

    def memory(self) -> int:
        return _resident(_pid(self.manager))

    async def stop(self) -> None:
        self.client.stop_channels()
        await _stop(self.manager, self._worker, self._sockets, self._record)


async def _stop(manager: AsyncKernelManager, worker: str, sockets: Path, record: Path) -> None:
    pid = _pid(manager)
    with contextlib.suppress(Exception):
        await asyncio.wait_for(manager.shutdown_kernel(now=True), 10)
    await asyncio.to_thread(_clear, pid, worker, sockets, record)


def _clear(pid: int, worker: str, sockets: Path, record: Path) -> None:
    _end_processes(pid, worker)
    shutil.rmtree(sockets, ignore_errors=True)
    record.unlink(missing_ok=True)


class LocalPlacement:
    """Starts kernels here. ``records`` is a folder of notes on what runs, for the next server."""

    def __init__(
        self,
        specs: KernelSpecManager,
        records: Path,
        *,
        link: str,
        cafile: str = "",
        inherit: Iterable[str] = (),
    ) -> None:
        self._specs = specs
        self._records = records
        self._link = link
        self._cafile = cafile
        self._inherit = tuple(inherit)

    async def start(self, order: Order) -> LocalKernel:
        # Unix sockets in a private folder: other accounts on the host cannot read the kernel's
        # output, and their paths must stay under 108 bytes.
        sockets = Path(tempfile.mkdtemp(prefix=SOCKETS))
        manager = AsyncKernelManager(
            kernel_name=order.kernel, kernel_spec_manager=self._specs, transport="ipc"
        )
        manager.ip = str(sockets / "k")
        manager.connection_file = str(sockets / "connection.json")
        environment = worker_environment(dict(os.environ), self._inherit) | {
            MARK: order.worker,
            "EASYMLNB_LINK": self._link,
            "EASYMLNB_SECRET": order.secret,
            "EASYMLNB_CAFILE": self._cafile,
        }
        # The next server ends what this one leaves behind if it is killed.
        record = self._records / f"{order.worker}.json"
        kernel: LocalKernel | None = None
        try:
            await manager.start_kernel(cwd=str(order.folder), env=environment)
            kernel = LocalKernel(manager, order.worker, sockets, record)
            await asyncio.to_thread(_note, record, _pid(manager), sockets)
            # Nobody sits there to type: `input()` raises instead of waiting for ever.
            kernel.client.start_channels(stdin=False)
            await kernel.client.wait_for_ready(timeout=CONNECT_TIMEOUT)
        except BaseException as error:
            # Also when the start is broken off: the process may run by then.
            end = kernel.stop() if kernel else _stop(manager, order.worker, sockets, record)
            await asyncio.shield(asyncio.ensure_future(end))
            if isinstance(error, NoSuchKernel):
                raise NotReady(f"There is no kernel named {order.kernel!r} here.") from error
            if isinstance(error, RuntimeError | OSError | psutil.Error):
                raise NotReady(
                    f"The kernel {order.kernel!r} did not start. Is ipykernel installed for it?"
                ) from error
            raise
        return kernel


def _pid(manager: AsyncKernelManager) -> int:
    """Return the process id that the local provisioner keeps; 0 when there is none."""
    return int(getattr(manager.provisioner, "pid", None) or 0)


def _resident(pid: int) -> int:
    """Return the resident bytes of a process and its children; 0 when it is gone."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
    return total


def _note(record: Path, pid: int, sockets: Path) -> None:
    note = {"pid": pid, "started": psutil.Process(pid).create_time(), "sockets": sockets.name}
    record.write_text(json.dumps(note), encoding="utf-8")


def _end_processes(pid: int, worker: str) -> None:
    """End a worker's process group and all that carry its mark, wherever they moved to."""
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == worker:
                process.kill()


def end_orphans(records: Path) -> int:
    """End workers that a killed server left behind; returns how many. Call before starting any."""
    ended = 0
    for record in records.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(record.read_text(encoding="utf-8"))
            runs = _started(note["pid"]) == note["started"]
            ended += runs
            _end_processes(note["pid"] if runs else 0, record.stem)
            sockets = Path(tempfile.gettempdir()) / str(note["sockets"])
            if sockets.name.startswith(SOCKETS):
                shutil.rmtree(sockets, ignore_errors=True)
        record.unlink(missing_ok=True)
    return ended


def _started(pid: int) -> float | None:
    """Return when a process started; a pid is used again in time, with this it names one only."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None
