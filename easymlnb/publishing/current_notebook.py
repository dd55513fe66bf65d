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
"""Bytes of a notebook up to which its metadata are read while its author works on it."""


class MetadataWarning(UserWarning):
    """Metadata of a notebook are invalid; its services still work."""


def notebook_candidates() -> Iterator[Path]:
    """Yield possible paths of this kernel's notebook, the likeliest first."""
    shell = _shell()
    if shell is not None and (path := shell.user_ns.get("__vsc_ipynb_file__")):
        yield Path(str(path))
    session = os.environ.get("JPY_SESSION_NAME", "")
    if not session:
        return
    folder, _, last = session.rpartition("/")
    cleaned = Path(folder, last.removeprefix("RTC:"))  # the prefix of collaborative sessions
    yield cleaned
    # The path is relative to the server's root; Jupyter starts a kernel in its notebook's folder.
    yield Path.cwd() / cleaned.name


def live_metadata() -> dict[str, Any]:
    """Return the metadata of this kernel's notebook, for its live services.

    Invalid metadata cause a warning; publishing rejects them.
    """
    notebook = next((path for path in notebook_candidates() if path.is_file()), None)
    if notebook is None:
        return {}
    from easymlnb.publishing.notebook_metadata import metadata_files

    files = [notebook, *(notebook.parent / name for name in metadata_files(notebook.name))]
    try:
        times = tuple(path.stat().st_mtime for path in files if path.is_file())
        return _read_cached(notebook, times)
    except BundleRejected as error:
        warnings.warn(error.message, MetadataWarning, stacklevel=4)
    except (OSError, ValueError, RecursionError):
        pass  # the file is being saved, or is not a notebook
    return {}


@lru_cache(maxsize=1)
def _read_cached(notebook: Path, times: tuple[float, ...]) -> dict[str, Any]:
    """Read the metadata once for each state of the files."""
    from easymlnb.publishing.notebook_metadata import read_metadata

    found = json.loads(notebook.read_bytes()) if notebook.stat().st_size <= LARGEST else {}
    return read_metadata(notebook, found if isinstance(found, dict) else {})


def _shell() -> Any:
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()
