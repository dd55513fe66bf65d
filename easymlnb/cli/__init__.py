"""The ``easymlnb`` command: presentation of the REST API.

Exit codes: 0 success, 1 failure (one sentence on stderr), 2 wrong usage, 130 interrupted.
"""

import sys


def main() -> None:
    """Run the command."""
    if sys.argv[1:] == ["--version"]:  # not worth loading anything
        from easymlnb._version import __version__

        sys.stdout.write(f"easymlnb {__version__}\n")
        return
    from easymlnb.cli.app import app

    app()
