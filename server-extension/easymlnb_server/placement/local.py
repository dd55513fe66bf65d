"""Worker kernels as processes on the server's own machine."""

import asyncio
import contextlib
import json
import os
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

CONNECT_TIMEOUT = 60.0


def worker_environment(source: dict[str, str], extra: Iterable[str]) -> dict[str, str]:
    """Return the part of an environment that workers get; ``extra`` names more variables."""
    wanted = {*ENVIRONMENT, *extra}
    return {k: v for k, v in source.items() if k in wanted or k.startswith(PREFIXES)}


class LocalKernel:
    """A kernel process of ours, and the process group it leads."""

    def __init__(self, manager: AsyncKernelManager, sockets: Path, record: Path) -> None:
        self.manager = manager
        self.client: AsyncKernelClient = manager.client()
        self._sockets = sockets
        self._record = record

    async def alive(self) -> bool:
        return bool(await self.manager.is_alive())

    async def stop(self) -> None:
        pid = _pid(self.manager)
        self.client.stop_channels()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.manager.shutdown_kernel(now=True), 10)
        if pid:
            # The kernel leads its own group: what it forked goes with it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._record.unlink(missing_ok=True)


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
        sockets = Path(tempfile.mkdtemp(prefix="emnb-"))
        manager = AsyncKernelManager(
            kernel_name=order.kernel, kernel_spec_manager=self._specs, transport="ipc"
        )
        manager.ip = str(sockets / "k")
        manager.connection_file = str(sockets / "connection.json")
        environment = worker_environment(dict(os.environ), self._inherit) | {
            "EASYMLNB_WORKER": order.worker,
            "EASYMLNB_LINK": self._link,
            "EASYMLNB_SECRET": order.secret,
            "EASYMLNB_CAFILE": self._cafile,
        }
        # The next server ends what this one leaves behind if it is killed.
        record = self._records / f"{order.worker}.json"
        try:
            await manager.start_kernel(cwd=str(order.folder), env=environment)
            kernel = LocalKernel(manager, sockets, record)
            await asyncio.to_thread(_note, record, _pid(manager))
            # Nobody sits there to type: `input()` raises instead of waiting for ever.
            kernel.client.start_channels(stdin=False)
            await kernel.client.wait_for_ready(timeout=CONNECT_TIMEOUT)
        except NoSuchKernel as error:
            shutil.rmtree(sockets, ignore_errors=True)
            raise NotReady(f"There is no kernel named {order.kernel!r} here.") from error
        except (RuntimeError, OSError) as error:
            if manager.has_kernel:
                await LocalKernel(manager, sockets, record).stop()
            shutil.rmtree(sockets, ignore_errors=True)
            raise NotReady(
                f"The kernel {order.kernel!r} did not start. Is ipykernel installed for it?"
            ) from error
        return kernel


def _pid(manager: AsyncKernelManager) -> int:
    """Return the process id that the local provisioner keeps; 0 when there is none."""
    return int(getattr(manager.provisioner, "pid", None) or 0)


def _note(record: Path, pid: int) -> None:
    started = psutil.Process(pid).create_time()
    record.write_text(json.dumps({"pid": pid, "started": started}), encoding="utf-8")


def end_orphans(records: Path) -> int:
    """End workers that a killed server left behind; returns how many. Call before starting any."""
    ended = 0
    for record in records.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, psutil.Error):
            note = json.loads(record.read_text(encoding="utf-8"))
            # A pid is used again in time; with its start time it names one process only.
            if psutil.Process(note["pid"]).create_time() == note["started"]:
                os.killpg(note["pid"], signal.SIGKILL)
                ended += 1
        record.unlink(missing_ok=True)
    return ended
