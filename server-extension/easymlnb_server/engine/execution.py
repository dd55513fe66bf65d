"""A bundle's notebook, executed in a worker kernel by nbclient; its outputs are the log."""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import nbformat
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from traitlets.config import Config

from easymlnb.contract import installation
from easymlnb.contract.errors import DeploymentFailed
from easymlnb_server.engine.cell_lines import in_cell

SKIP = "skip"
"""Cells with this tag are for the author and are not executed in a worker."""

OUTPUT_LIMIT = 5_000_000
"""Characters of output kept per cell, whatever way they came."""

PREPARE_TIMEOUT = 60.0
# The one module whose place no version may change: by it kernels of others are known.
LOOK = "import easymlnb._version as _v"
SEEN = {"version": "_v.__version__", "protocol": "_v.PROTOCOL"}
PREPARE = "from easymlnb.runtime.cells import prepare as _p; _p(); del _p, _v"
SERVE = "from easymlnb.runtime.cells import serve; serve()"

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class _Client(NotebookClient):
    """nbclient with a bound on what a cell's output may take of the server's memory."""

    def __init__(self, notebook: NotebookNode, manager: AsyncKernelManager) -> None:
        settings = Config()
        settings.NotebookClient.skip_cells_with_tag = SKIP
        settings.NotebookClient.iopub_timeout = 10
        super().__init__(notebook, km=manager, config=settings)
        # A failing cell is the author's business, told once by us.
        self.log = logging.getLogger("easymlnb.execution")
        self._sizes: dict[int, int] = {}

    def output(
        self, outs: list[Any], msg: dict[str, Any], display_id: str | None, cell_index: int
    ) -> NotebookNode | None:
        before = self._sizes.get(cell_index, 0)
        if before > OUTPUT_LIMIT:
            return None
        self._sizes[cell_index] = before + _size(msg["content"])
        if self._sizes[cell_index] > OUTPUT_LIMIT:
            cut = nbformat.v4.new_output(
                "stream", name="stderr", text="... more output was truncated.\n"
            )
            outs.append(cut)
            return None
        return super().output(outs, msg, display_id, cell_index)


def _size(content: Any) -> int:
    if isinstance(content, str | bytes):
        return len(content)
    if isinstance(content, dict):
        return sum(map(_size, content.values()))
    return sum(map(_size, content)) if isinstance(content, list) else 8


async def execute(
    notebook: NotebookNode,
    manager: AsyncKernelManager,
    client: AsyncKernelClient,
    at_cell: Callable[[int], None],
) -> None:
    """Run the cells in order, outputs kept in ``notebook``; ``at_cell`` is told where it is.

    Raises ``DeploymentFailed`` with the cell's number, source and traceback.
    """
    runner = _Client(notebook, manager)
    runner.kc = client
    runner.reset_execution_trackers()
    await _check_version(client, manager.kernel_name)
    await _prepare(client)
    for index, cell in enumerate(notebook.cells):
        at_cell(index)
        try:
            await runner.async_execute_cell(cell, index)
        except CellExecutionError as error:
            trace = _traceback(cell)
            line = in_cell(cell, trace)
            where = f" at line {line}" if line is not None else ""
            raise _failed(index, cell, f"raised {error.ename}{where}", trace, line) from error
        except DeadKernelError as error:
            if _cancelled():
                # nbclient takes our own cancellation for a death of the kernel.
                raise asyncio.CancelledError from error
            raise _failed(index, cell, "ended the kernel", "") from error


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _check_version(client: AsyncKernelClient, name: str) -> None:
    """Raise ``DeploymentFailed`` unless the kernel has an easymlnb that fits this server's."""
    content = await _run(client, LOOK, SEEN)
    if content["status"] != "ok":
        raise _unusable(
            f"The kernel {name!r} cannot import easymlnb: run 'pip install easymlnb' in the "
            "environment of that kernel.",
            content,
        )
    found = {key: _value(content["user_expressions"].get(key)) for key in SEEN}
    skew = installation.version_skew(f"The kernel {name!r}", found["version"], found["protocol"])
    if skew:
        raise DeploymentFailed(skew)


async def _prepare(client: AsyncKernelClient) -> None:
    content = await _run(client, PREPARE, {})
    if content["status"] != "ok":
        raise _unusable(
            "The kernel has easymlnb and cannot use it; 'easymlnb doctor', run in the kernel's "
            "environment, says what is missing there.",
            content,
        )


async def _run(client: AsyncKernelClient, code: str, expressions: dict[str, str]) -> Any:
    reply = await client.execute(
        code,
        silent=True,
        store_history=False,
        user_expressions=expressions,
        reply=True,
        timeout=PREPARE_TIMEOUT,
    )
    return reply["content"]


def _value(expression: Any) -> str:
    """Return what a kernel found for an expression; empty where it failed."""
    data = (expression or {}).get("data") or {}
    return str(data.get("text/plain", "")).strip("'\"")


def _unusable(message: str, content: Any) -> DeploymentFailed:
    trace = ANSI.sub("", "\n".join(content.get("traceback", ())))
    return DeploymentFailed(message, details={"traceback": trace})


def serve(client: AsyncKernelClient) -> None:
    """Send the last cell, which does not return: the worker dials home."""
    client.execute(SERVE, silent=True, store_history=False)


def _failed(
    index: int, cell: NotebookNode, what: str, trace: str, line: int | None = None
) -> DeploymentFailed:
    details = {"cell": index, "source": cell.source[:10_000], "traceback": trace}
    return DeploymentFailed(
        f"Cell {index + 1} of the notebook {what}, so the notebook cannot be deployed.",
        details=details if line is None else {**details, "line": line},
    )


def _traceback(cell: NotebookNode) -> str:
    for output in reversed(cell.outputs):
        if output.output_type == "error":
            return ANSI.sub("", "\n".join(output.traceback))[-20_000:]
    return ""
