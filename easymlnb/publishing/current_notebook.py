"""Find this kernel's notebook and the metadata stored with it."""

import json
import os
import sys
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import BundleRejected

LARGEST = 20 * 2**20
"""Bytes of a notebook up to which its own metadata are looked up while it is worked on."""


class MetadataWarning(UserWarning):
    """What is said beside the notebook's code cannot be used; the service itself still works."""


def candidates() -> Iterator[Path]:
    """Yield where this kernel's notebook may lie, likeliest first."""
    shell = _shell()
    if shell is not None and (told := shell.user_ns.get("__vsc_ipynb_file__")):
        yield Path(str(told))
    session = os.environ.get("JPY_SESSION_NAME", "")
    if not session:
        return
    folder, _, last = session.rpartition("/")
    cleaned = Path(folder, last.removeprefix("RTC:"))  # how collaborative sessions call it
    yield cleaned
    # A path below the server's root; Jupyter starts a kernel in its notebook's folder.
    yield Path.cwd() / cleaned.name


def said() -> dict[str, Any]:
    """Return what is said beside the code of this kernel's notebook, for its live services.

    What cannot be used becomes a warning: publishing refuses it, working on a cell goes on.
    """
    notebook = next((path for path in candidates() if path.is_file()), None)
    if notebook is None:
        return {}
    from easymlnb.publishing.notebook_metadata import names

    near = [notebook, *(notebook.parent / name for name in names(notebook.name))]
    try:
        return _read(notebook, tuple(path.stat().st_mtime for path in near if path.is_file()))
    except BundleRejected as error:
        warnings.warn(error.message, MetadataWarning, stacklevel=4)
    except (OSError, ValueError, RecursionError):
        pass  # it is being saved just now, or is no notebook: then nothing is said
    return {}


@lru_cache(maxsize=1)
def _read(notebook: Path, times: tuple[float, ...]) -> dict[str, Any]:
    """Read once for each state of the files; a notebook has many cells."""
    from easymlnb.publishing.notebook_metadata import said

    found = json.loads(notebook.read_bytes()) if notebook.stat().st_size <= LARGEST else {}
    return said(notebook, found if isinstance(found, dict) else {})


def _shell() -> Any:
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()
