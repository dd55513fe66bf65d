"""``easymlnb serve-bundle``: serve given bundles, as container images do."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

MODULE = "easymlnb_server.bundle_server"
PORT = 8080
DRAIN = 25.0
"""Default seconds for running calls: Kubernetes kills a container after 30."""

Bundles = Annotated[
    list[Path],
    typer.Argument(
        metavar="BUNDLE...",
        help="Bundles, or folders with bundles; other --options are passed to Jupyter.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve-bundle", context_settings={"ignore_unknown_options": True})(serve_bundle)


def serve_bundle(
    bundles: Bundles,
    port: Annotated[
        int, typer.Option(envvar="PORT", min=1, max=65535, help="Port to listen on.")
    ] = PORT,
    ip: Annotated[
        str, typer.Option(envvar="EASYMLNB_IP", help="IP address to listen on.")
    ] = "127.0.0.1",
    base_url: Annotated[
        str,
        typer.Option(
            envvar=["EASYMLNB_BASE_URL", "OSCAR_SERVICE_BASE_PATH"],
            help="Base path of all routes.",
        ),
    ] = "/",
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that callers need; default: EASYMLNB_TOKEN."),
    ] = None,
    trust_cluster: Annotated[
        bool,
        typer.Option(
            "--trust-cluster",
            envvar="EASYMLNB_TRUST_CLUSTER",
            help="Require no token; the cluster decides who can reach the port.",
        ),
    ] = False,
    credentials: Annotated[
        Path | None,
        typer.Option(
            envvar="EASYMLNB_CREDENTIALS",
            help="Folder with one file for each credential of the services.",
        ),
    ] = None,
    drain: Annotated[
        float,
        typer.Option(
            envvar="EASYMLNB_DRAIN", min=0, help="Seconds for running calls after SIGTERM."
        ),
    ] = DRAIN,
    state_dir: Annotated[
        Path | None, typer.Option(help="A writable folder; default: a temporary one.")
    ] = None,
) -> None:
    """Serve bundles only: callers can call services, and no one can publish."""
    from easymlnb.cli.serve import server_token

    arguments = [str(one) for one in bundles if str(one).startswith("-")]
    paths = [one for one in bundles if not str(one).startswith("-")]
    options = _options(paths)
    options += [f"--ServerApp.port={port}", f"--ServerApp.ip={ip}"]
    options += [f"--ServerApp.base_url={base_url}", f"--EasyMLNB.drain_seconds={drain:g}"]
    # App pages need widgets and a front end, which an image does not have.
    options += ["--EasyMLNB.app_kernels=0"]
    options += ["--EasyMLNB.trust_cluster=True"] if trust_cluster else []
    options += [f"--EasyMLNB.credentials_folder={_folder(credentials)}"] if credentials else []
    options += [f"--EasyMLNB.state_dir={state_dir.absolute()}"] if state_dir else []
    _run([*options, *arguments], server_token(None, token_file, arguments))


def _options(paths: list[Path]) -> list[str]:
    """Return the options that name the bundles; raises ``typer.BadParameter`` without any."""
    if not paths:
        raise typer.BadParameter("no bundle is given. Pass the path of one.")
    for path in paths:
        if not path.exists():
            raise typer.BadParameter(f"there is no bundle {str(path)!r}. Check the path.")
    return [f"--EasyMLNB.bundles={path.absolute()}" for path in paths]


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise typer.BadParameter(f"--credentials {str(path)!r} is not a folder.")
    return path.absolute()


def _run(options: list[str], token: str | None) -> NoReturn:
    from easymlnb.cli.serve import ServeOptions

    # The token is not on the command line, which other accounts of the machine can read.
    environment = ServeOptions(token=token).environment()
    for name in ("EASYMLNB_TOKEN", "PORT"):
        environment.pop(name, None)
    program = [sys.executable, "-P", "-m", MODULE, *options]
    os.execvpe(sys.executable, program, environment)
