"""Find uv, the program that locks and builds environments, and its options for indexes."""

import shutil
import sysconfig

HINT = "uv, which is not installed in this environment: pip install uv"


def find_uv() -> str:
    """Return the path of uv, of this environment or else from ``PATH``; empty if there is none."""
    scripts = sysconfig.get_path("scripts")
    return shutil.which("uv", path=scripts) or shutil.which("uv") or ""


def index_options(index_url: str, wheelhouse: str) -> list[str]:
    """Return the options that name where packages come from; none for uv's own settings.

    With a wheelhouse and no index, only the wheelhouse is used.
    """
    options = ["--find-links", wheelhouse] if wheelhouse else []
    if index_url:
        return [*options, "--default-index", index_url]
    return [*options, "--no-index"] if wheelhouse else []
