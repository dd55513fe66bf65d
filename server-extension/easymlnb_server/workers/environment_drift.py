"""Which packages of a worker changed since its version was published."""

import ast
import json
import logging
from collections.abc import Iterable

import msgspec
from jupyter_client.asynchronous.client import AsyncKernelClient

from easymlnb.contract.bundle import Bundle
from easymlnb.contract.environment_record import PYTHON, Drift, drift
from easymlnb.contract.errors import DeploymentFailed
from easymlnb_server.workers.notebook_execution import run_code

log = logging.getLogger("easymlnb.environments")


async def measure(bundle: Bundle, client: AsyncKernelClient, former: Drift | None) -> Drift | None:
    """Compare a worker's packages with those at publishing; log what changed since ``former``.

    Returns ``former`` if the kernel cannot report its packages, which is no reason to fail.
    """
    made = bundle.manifest.environment
    present = await installed_versions(client, made.packages)
    if present is None:
        return former
    recorded = {PYTHON: made.python, **made.packages} if made.python else made.packages
    found = drift(recorded, present)
    if found and found != former:
        log.warning("Bundle %s: %s", bundle.id[:12], found.sentence)
    return found


async def installed_versions(
    client: AsyncKernelClient, names: Iterable[str]
) -> dict[str, str] | None:
    """Return the versions of Python and of those packages that are installed in a kernel."""
    asked = json.dumps(sorted(names))
    code = f"__import__('easymlnb.runtime.installed', fromlist=['_']).report({asked!r})"
    try:
        content = await run_code(client, "", "", {"installed": code})
        expression = content["user_expressions"].get("installed") or {}
        text = str((expression.get("data") or {}).get("text/plain", ""))
        return msgspec.json.decode(str(ast.literal_eval(text)), type=dict[str, str])
    except (DeploymentFailed, TimeoutError, ValueError, SyntaxError, msgspec.MsgspecError):
        log.info("A kernel did not report its packages.", exc_info=True)
        return None
