"""The ``easymlnb`` command: presentation only, everything it does goes through the REST API.

Exit codes: 0 done, 1 failed (one sentence on stderr), 2 wrong usage, 130 interrupted.
"""

import sys


def main() -> None:
    """Run the command that the arguments name."""
    if sys.argv[1:] == ["--version"]:  # not worth loading anything
        from easymlnb._version import __version__

        sys.stdout.write(f"easymlnb {__version__}\n")
        return
    from easymlnb.cli.app import app

    app()
