"""Execute a bundle's notebook in a worker kernel with nbclient; its outputs are the log."""

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
from easymlnb_server.workers.cell_lines import line_in_cell

log = logging.getLogger("easymlnb.execution")

SKIP = "skip"
"""Cells with this tag are for the author and are not executed in a worker."""

OUTPUT_LIMIT = 5_000_000
"""Characters of output stored per cell, of any type."""

PREPARE_TIMEOUT = 60.0
# No version may move this module: it identifies kernels with another version.
IMPORT_VERSION = "import easymlnb._version as _v"
VERSION = {"version": "_v.__version__", "protocol": "_v.PROTOCOL"}
PREPARE = "from easymlnb.runtime.bootstrap import prepare as _p; _p(); del _p, _v"
SERVE = "from easymlnb.runtime.bootstrap import serve; serve()"

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class _Client(NotebookClient):
    """nbclient with a limit for each cell's output, which is in the server's memory."""

    def __init__(self, notebook: NotebookNode, manager: AsyncKernelManager) -> None:
        settings = Config()
        settings.NotebookClient.skip_cells_with_tag = SKIP
        settings.NotebookClient.iopub_timeout = 10
        super().__init__(notebook, km=manager, config=settings)
        # The server reports a failing cell once, to its author.
        self.log = log
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
    """Run the cells in order and store their outputs in ``notebook``.

    ``at_cell`` is called with the index of each cell before it runs. Raises ``DeploymentFailed``
    with the failed cell's number, source and traceback.
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
            line = line_in_cell(cell, trace)
            where = f" at line {line}" if line is not None else ""
            raise _failed(index, cell, f"raised {error.ename}{where}", trace, line) from error
        except DeadKernelError as error:
            if _cancelled():
                # nbclient reports a cancellation as a dead kernel.
                raise asyncio.CancelledError from error
            raise _failed(index, cell, "ended the kernel", "") from error


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _check_version(client: AsyncKernelClient, name: str) -> None:
    """Raise ``DeploymentFailed`` unless the kernel's easymlnb is compatible with this server."""
    content = await run_code(
        client,
        IMPORT_VERSION,
        f"The kernel {name!r} cannot import easymlnb: run 'pip install easymlnb' in the "
        "environment of that kernel.",
        VERSION,
    )
    versions = {key: _value(content["user_expressions"].get(key)) for key in VERSION}
    skew = installation.version_skew(
        f"The kernel {name!r}", versions["version"], versions["protocol"]
    )
    if skew:
        raise DeploymentFailed(skew)


async def _prepare(client: AsyncKernelClient) -> None:
    await run_code(
        client,
        PREPARE,
        "The kernel has easymlnb and cannot use it; 'easymlnb doctor', run in the kernel's "
        "environment, reports what is missing there.",
    )


async def run_code(
    client: AsyncKernelClient, code: str, failure: str, expressions: dict[str, str] | None = None
) -> Any:
    """Run code and return the reply; raises ``DeploymentFailed`` with ``failure`` as message."""
    reply = await client.execute(
        code,
        silent=True,
        store_history=False,
        user_expressions=expressions or {},
        reply=True,
        timeout=PREPARE_TIMEOUT,
    )
    content = reply["content"]
    if content["status"] != "ok":
        trace = ANSI.sub("", "\n".join(content.get("traceback", ())))
        raise DeploymentFailed(failure, details={"traceback": trace})
    return content


def _value(expression: Any) -> str:
    """Return the value of an expression in a kernel's reply; empty if it failed."""
    data = (expression or {}).get("data") or {}
    return str(data.get("text/plain", "")).strip("'\"")


def serve(client: AsyncKernelClient) -> None:
    """Send the last cell, which does not return: the worker connects to the server."""
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
