"""Read what trainings were asked for and what they returned."""

import json
from typing import Any

from easymlnb.contract.errors import StorageDamaged
from easymlnb_server.dispatch.call import CallResult
from easymlnb_server.store.files import Files
from easymlnb_server.uploads.spool import SpooledFile


def read_arguments(result: CallResult) -> Any:
    """Return the checked arguments of a training, to be shown; none if they are large. Blocks."""
    if isinstance(result.body, SpooledFile):
        result.body.close()
        return {}
    return json.loads(result.body)


def read_output(files: Files, name: str, limit: float) -> Any:
    """Return what a training returned; blocks.

    ``None`` if it has more than ``limit`` bytes, if it has expired, or if it is not JSON, because
    the job was submitted by another route.
    """
    try:
        return json.loads(files.get(name)) if files.size(name) <= limit else None
    except (StorageDamaged, ValueError, RecursionError):
        return None
