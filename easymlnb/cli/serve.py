"""``easymlnb serve``: a Jupyter server with easymlnb, and notebooks published on it."""

import contextlib
import json
import os
import secrets
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import typer

from easymlnb.cli import output
from easymlnb.cli.options import CommandTarget
from easymlnb.client import discovery
from easymlnb.contract.errors import EasyMLNBError, ServerUnreachable
from easymlnb.contract.process import hide

START_SECONDS = 60.0
"""How long the server may take to respond first."""
JUPYTER_TOKENS = ("--IdentityProvider.token=", "--ServerApp.token=")
"""Options of Jupyter that contain a token."""

STOP_SECONDS = 20.0
"""How long the server may take to stop."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Options of the server; ``None`` means Jupyter's default."""

    port: int | None = None
    ip: str | None = None
    token: str | None = None
    browser: bool = False

    def arguments(self, more: Sequence[str]) -> list[str]:
        """Return the server's command line, without the token: other accounts can read it."""
        # -P: a file in this folder must not be imported in place of a module.
        found = [sys.executable, "-P", "-m", "easymlnb_server"]
        found += [f"--ServerApp.port={self.port}"] if self.port is not None else []
        found += [f"--ServerApp.ip={self.ip}"] if self.ip is not None else []
        found += [] if self.browser else ["--no-browser"]
        # One Ctrl + C stops the server, without Jupyter's question.
        found += ["--ServerApp.answer_yes=True"]
        return [*found, *more]

    def environment(self) -> dict[str, str]:
        """Return the environment of the server, with the token in it."""
        if self.token is None:
            return dict(os.environ)
        return os.environ | {"JUPYTER_TOKEN": self.token}


def server_token(token: str | None, file: Path | None, arguments: Sequence[str]) -> str | None:
    """Return the token that the server will require; ``None`` lets Jupyter choose.

    Raises ``typer.BadParameter`` for an unusable token.
    """
    if token is not None and file is not None:
        raise typer.BadParameter("give either --token or --token-file, not both.")
    if token is not None or any(one.startswith(JUPYTER_TOKENS) for one in arguments):
        output.message(
            "easymlnb: Other accounts on this machine can read a token on the command line. Use "
            "--token-file FILE, or the variable EASYMLNB_TOKEN."
        )
    if file is not None:
        token = _read(file)
    elif token is None:
        token = os.environ.get("EASYMLNB_TOKEN") or os.environ.get("JUPYTER_TOKEN") or None
    if token == "":
        raise typer.BadParameter(
            "the token is empty, which would allow access to everyone. Set a token."
        )
    return token


def _read(file: Path) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            output.message(
                f"easymlnb: Other accounts can read {file}. Restrict access with: chmod 600 {file}"
            )
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"--token-file {str(file)!r} cannot be read ({error}).") from error
    if len(token.splitlines()) > 1:
        raise typer.BadParameter(f"--token-file {str(file)!r} has more than one line.")
    return token


def serve_and_publish(settings: ServeOptions, arguments: Sequence[str]) -> None:
    """Run the server until it ends, and exit with its exit code."""
    notebooks = [Path(argument) for argument in arguments if not argument.startswith("-")]
    options = [argument for argument in arguments if argument.startswith("-")]
    for notebook in notebooks:
        if not notebook.is_file():
            raise typer.BadParameter(f"{str(notebook)!r} is not a file.")
    if not notebooks:
        os.execvpe(sys.executable, settings.arguments(options), settings.environment())
    if settings.token is None:
        # With a password in the user's configuration, the server would have no token.
        settings = ServeOptions(settings.port, settings.ip, secrets.token_hex(24), settings.browser)
    hide()  # as the server does: this process has the token as well
    process = subprocess.Popen(settings.arguments(options), env=settings.environment())
    try:
        with _forwarding(process):
            server = _wait_for(process, settings.token or "")
            with contextlib.suppress(_ServerEnded), _while_running(process):
                failed = [notebook for notebook in notebooks if not _publish(notebook, server)]
                _show_addresses(server, failed)
            raise typer.Exit(process.wait())
    except KeyboardInterrupt:
        typer.echo("", err=True)
    finally:
        _stop(process)


class _ServerEnded(Exception):
    """The server ended while this process still used it."""


@contextlib.contextmanager
def _while_running(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Raise ``_ServerEnded`` in the block when the server ends.

    Publishing would wait a minute for its restart, but nothing restarts this server.
    """

    def check(number: int = 0, frame: FrameType | None = None) -> None:
        if process.poll() is not None:
            raise _ServerEnded

    before = signal.signal(signal.SIGCHLD, check)
    try:
        check()  # it may have ended before the handler was set
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


@contextlib.contextmanager
def _forwarding(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Forward SIGTERM to the server."""

    def forward(number: int, frame: FrameType | None) -> None:
        process.send_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, forward)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait_for(process: "subprocess.Popen[bytes]", token: str) -> discovery.Server:
    """Return the server as soon as it can publish; one that never can says why when asked."""
    from jupyter_core.paths import jupyter_runtime_dir

    file = Path(jupyter_runtime_dir()) / f"jpserver-{process.pid}.json"
    deadline = time.monotonic() + START_SECONDS
    alive: discovery.Server | None = None
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerUnreachable(
                "The server failed to start. See its output above for the cause."
            )
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = json.loads(file.read_text(encoding="utf-8"))
            server = discovery.Server(discovery.api_base(found["url"]), token)
            if discovery.is_ready(server):
                return server
            alive = server if discovery.is_alive(server) else None
        time.sleep(0.1)
    if alive is not None:
        return alive
    raise ServerUnreachable(f"The server did not respond within {START_SECONDS:g} s.")


def _publish(notebook: Path, server: discovery.Server) -> bool:
    from easymlnb.cli.errors import sentence
    from easymlnb.cli.publish import PublishOptions, publish_and_show

    try:
        publish_and_show(
            notebook, PublishOptions(), CommandTarget(url=server.url, token=server.token)
        )
    except (EasyMLNBError, OSError, ValueError) as error:
        output.message(f"easymlnb: {sentence(error)}")
        return False
    except typer.Exit:
        return False
    return True


def _show_addresses(server: discovery.Server, failed: list[Path]) -> None:
    if failed:
        output.message(f"Not published: {', '.join(str(notebook) for notebook in failed)}.")
    output.message(f"Catalog: {server.url}?token={server.token}")
    if command := _example_command(server):
        output.message(f"Try a call:  {command}")
    output.message("Stop with Ctrl + C.")


def _example_command(server: discovery.Server) -> str:
    """Return a curl command for the shortest example of any service; empty without examples."""
    from easymlnb.client import connect

    with connect(server.url, server.token) as client:
        found = [
            (json.dumps(example), service["name"])
            for service in client.admin.services()
            for example in client.admin.spec(service["name"]).examples
        ]
    if not found:
        return ""
    body, name = min(found, key=lambda pair: len(pair[0]))
    headers = f"-H 'Authorization: token {server.token}' -H 'Content-Type: application/json'"
    return f"curl {headers} -d {shlex.quote(body)} {server.url}services/{name}/call"


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
