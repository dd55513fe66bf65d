"""``python -m easymlnb_server.bundle_server``: what ``easymlnb serve-bundle`` runs.

A Jupyter server without Jupyter's routes: no notebooks, kernels, files or terminals. Callers can
call services, and nobody can publish or change any.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jupyter_core import paths

from easymlnb_server.__main__ import complete, use_uvloop

with complete():
    from easymlnb_server.bundle_server.server import TRUST, BundleServerApp, config_from

STATE_DIR = "--EasyMLNB.state_dir="


def main(arguments: Sequence[str]) -> None:
    """Run the server until it ends; exit with 1 if a bundle does not start."""
    given = [one.removeprefix(STATE_DIR) for one in arguments if one.startswith(STATE_DIR)]
    with tempfile.TemporaryDirectory(prefix="easymlnb-") as temporary:
        folder = Path([temporary, *given][-1]).absolute()
        try:
            config = config_from(folder, trusted=TRUST in arguments)
            isolate(folder)
            app = BundleServerApp.instance(config=config)
            app.prepare([*arguments])
        except ValueError as error:
            sys.exit(f"easymlnb: {error}")
        app.start()
        if app.failure:
            sys.exit(1)


def isolate(folder: Path) -> None:
    """Keep the configuration and files of the account's other Jupyter servers out of this one."""
    os.environ["JUPYTER_NO_CONFIG"] = "1"
    # Jupyter makes an empty folder for its configuration, which it would leave behind.
    tempfile.tempdir = str(folder)
    paths.jupyter_config_dir()
    tempfile.tempdir = None
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        os.environ[name] = str(folder / name.lower())


if __name__ == "__main__":
    use_uvloop()
    main(sys.argv[1:])
