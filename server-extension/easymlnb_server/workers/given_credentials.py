"""Give a kernel the credentials of its services, and keep them out of the notebook's log."""

import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import nbformat
from jupyter_client.asynchronous.client import AsyncKernelClient
from nbformat import NotebookNode

from easymlnb.contract import masking
from easymlnb.contract.errors import DeploymentFailed
from easymlnb_server.credentials.manager import Values
from easymlnb_server.workers.notebook_execution import run_code

RECEIVE = "from easymlnb.runtime.credentials import receive as _r; _r({!r}); del _r"
GIVING_FAILED = (
    "The kernel did not accept the credentials of its services; 'easymlnb doctor', run in the "
    "kernel's environment, reports what is missing there."
)


@asynccontextmanager
async def given(
    values: Values, client: AsyncKernelClient, notebook: NotebookNode
) -> AsyncIterator[None]:
    """Give a kernel credentials while it executes a notebook.

    Afterwards neither the notebook's outputs nor a ``DeploymentFailed`` contain their values.
    """
    if not values:
        yield
        return
    await _give(client, json.dumps(values))
    searched = masking.patterns(
        [value for own in values.values() for value in own.values() if value]
    )
    try:
        yield
    except DeploymentFailed as error:
        error.details = masking.mask(error.details, searched)
        raise
    finally:
        mask_outputs(notebook, searched)


async def _give(client: AsyncKernelClient, values: str) -> None:
    # The request is silent: neither the kernel's outputs nor its history contain the code.
    try:
        await run_code(client, RECEIVE.format(values), GIVING_FAILED)
    except DeploymentFailed:
        # Its traceback would contain the values.
        raise DeploymentFailed(GIVING_FAILED) from None


def mask_outputs(notebook: NotebookNode, searched: Collection[str]) -> None:
    """Mask the outputs of an executed notebook."""
    for cell in notebook.cells:
        if cell.get("outputs"):
            cell.outputs = nbformat.from_dict(masking.mask(cell.outputs, searched))
