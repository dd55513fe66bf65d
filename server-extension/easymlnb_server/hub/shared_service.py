"""The service that all users of a JupyterHub share: ``python -m`` this module.

The Hub starts it, as ``easymlnb hub config`` configures. It is a Jupyter server on which only our
routes accept users.
"""

import contextlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from traitlets.config import Config

from easymlnb.contract.hub_config import SERVICE
from easymlnb_server.__main__ import complete, use_uvloop

with complete():
    from easymlnb_server.hub.shared_app import SharedServer, read_file
    from easymlnb_server.store.private_folder import make_private

ORPHAN_TIMEOUT = 10.0
FOLDER = "easymlnb-service"
"""Default state folder, in the working directory of the Hub."""

NEEDED = (
    "JUPYTERHUB_SERVICE_PREFIX",
    "JUPYTERHUB_SERVICE_URL",
    "JUPYTERHUB_API_URL",
    "JUPYTERHUB_API_TOKEN",
    "JUPYTERHUB_CLIENT_ID",
)
CHECK_DEFAULTS = {
    "JUPYTERHUB_SERVICE_PREFIX": f"/services/{SERVICE}/",
    "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:10180",
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api",
    "JUPYTERHUB_API_TOKEN": "none",
    "JUPYTERHUB_CLIENT_ID": f"service-{SERVICE}",
}
"""Values for ``--check``, which runs without a Hub."""

CHECK = "--check"
LOGIN = "easymlnb_server.hub.identity_provider"
EXTENSION = "easymlnb_server.hub.shared_app"

FORCED = (
    "allow_unauthenticated_access",
    "authorizer_class",
    "identity_provider_class",
    "jpserver_extensions",
    "reraise_server_extension_failures",
    "root_dir",
    "terminals_enabled",
    "tornado_settings",
)
"""Settings of Jupyter's server that protect the service from unauthorized access."""


def config_from_environment(environment: Mapping[str, str], folder: Path) -> Config:
    """Return Jupyter's settings for the environment of the Hub; raises ``ValueError``."""
    missing = [name for name in NEEDED if not environment.get(name)]
    if missing:
        raise ValueError(
            f"{missing[0]} is not set: the shared service must be started by a JupyterHub. Add "
            "the output of 'easymlnb hub config' to jupyterhub_config.py."
        )
    prefix = environment["JUPYTERHUB_SERVICE_PREFIX"]
    if not prefix.endswith(f"/{SERVICE}/"):
        raise ValueError(f"The service must be named {SERVICE!r} in jupyterhub_config.py.")
    listen = urlsplit(environment["JUPYTERHUB_SERVICE_URL"])
    config = Config()
    config.ServerApp = Config(
        base_url=prefix.removesuffix(f"{SERVICE}/"),
        ip=listen.hostname or "127.0.0.1",
        port=listen.port or 80,
        port_retries=0,
        allow_root=True,
        open_browser=False,
        # The proxy checks host names and reports the addresses of clients.
        allow_remote_access=True,
        trust_xheaders=True,
        allow_unauthenticated_access=False,
        identity_provider_class=f"{LOGIN}.HubIdentity",
        authorizer_class=f"{LOGIN}.OwnRoutesOnly",
        jpserver_extensions={EXTENSION: True},
        reraise_server_extension_failures=True,
        terminals_enabled=False,
        root_dir=str(folder / "nothing"),
        cookie_secret_file=str(folder / "cookie_secret"),
        answer_yes=True,
        # JupyterHub checks XSRF tokens after authentication, Tornado would do so before.
        tornado_settings={"xsrf_cookies": False, "xsrf_cookie_kwargs": {"path": prefix}},
    )
    config.EasyMLNB = Config(shared=True, state_dir=str(folder))
    return config


def replace_orphan(note: Path) -> None:
    """End the service of a Hub that was killed; this process takes over its workers.

    ``note`` is a file that names the process. A service whose Hub still runs is not ended.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, psutil.Error):
        previous = json.loads(note.read_text())
        process = psutil.Process(previous["pid"])
        if process.create_time() == previous["started"] and process.ppid() != previous["parent"]:
            process.kill()
            process.wait(ORPHAN_TIMEOUT)
    own = psutil.Process()
    half = note.with_suffix(".half")
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        json.dump({"pid": own.pid, "started": own.create_time(), "parent": own.ppid()}, out)
    half.replace(note)


def initialized(arguments: list[str], folder: Path) -> SharedServer:
    """Return the server with checked settings, before it listens; raises ``ValueError``.

    A setting that Jupyter rejects ends the process with a line in the log.
    """
    for file in _values(arguments, "--config"):
        read_file(Path(file).absolute())
    config = config_from_environment(os.environ, folder)
    make_private(folder)
    (folder / "nothing").mkdir(mode=0o700, exist_ok=True)
    app: SharedServer = SharedServer.instance(config=config)
    app.raise_config_file_errors = True
    forced = {name: config.ServerApp[name] for name in FORCED}
    app.forced = Config(ServerApp=Config(forced), EasyMLNB=Config(config.EasyMLNB))
    try:
        app.initialize(
            argv=[one for one in arguments if not one.startswith("--EasyMLNB.state_dir=")],
            find_extensions=False,
            starter_extension=SERVICE,
            new_httpserver=False,
        )
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    app.check()
    return app


def _values(arguments: Sequence[str], option: str) -> list[str]:
    return [one.partition("=")[2] for one in arguments if one.startswith(f"{option}=")]


def check(arguments: list[str]) -> None:
    """Check the settings without a Hub, in a temporary folder; raises ``ValueError``."""
    for name, value in CHECK_DEFAULTS.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory(prefix="easymlnb-check-") as folder:
        quiet = "--ServerApp.log_level=CRITICAL"
        initialized([*arguments, quiet], Path(folder))


def main(arguments: list[str]) -> None:
    """Run the service until it ends; the options are those of Jupyter."""
    if CHECK in arguments:
        warnings.simplefilter("ignore")
        try:
            return check([one for one in arguments if one != CHECK])
        except ValueError as error:
            sys.exit(f"easymlnb: {error}")
    folder = Path([FOLDER, *_values(arguments, "--EasyMLNB.state_dir")][-1]).absolute()
    try:
        app = initialized(arguments, folder)
    except ValueError as error:
        sys.exit(f"easymlnb: {error}")
    # As late as possible: until then the previous process answers.
    replace_orphan(folder / "service.json")
    app.init_httpserver()
    app.start()
    if app.failed:
        sys.exit(1)


if __name__ == "__main__":
    use_uvloop()
    main(sys.argv[1:])
