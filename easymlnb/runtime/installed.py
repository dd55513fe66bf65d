"""The versions of packages in this environment, for the server of a worker."""

import json
import platform
from importlib import metadata

from easymlnb.contract.environment_record import PYTHON


def report(names: str) -> str:
    """Return the versions of Python and of the installed ones of some packages.

    Both ``names`` and the result are JSON.
    """
    found = {PYTHON: platform.python_version()}
    for name in json.loads(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return json.dumps(found)
