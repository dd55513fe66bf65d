"""``easymlnb doctor``: check an installation and suggest fixes."""

import json as jsonlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from easymlnb.cli import output
from easymlnb.contract import installation
from easymlnb.contract.errors import EasyMLNBError, ServerUnreachable

MIN_PYTHON = (3, 11)
MIN_FREE = 2**30
"""Bytes of free disk space below which publishing may soon fail."""
NETWORK_FILESYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "lustre"}
"""Filesystems with unreliable locks for SQLite."""
PROBE = "import ipykernel, easymlnb._version as v; print(v.__version__, v.PROTOCOL)"
"""The program that a kernel's interpreter runs."""
OK, NOTE, BAD = "ok", "note", "bad"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check; ``fix`` is what to do about a problem."""

    about: str
    state: str
    says: str
    fix: str = ""

    @property
    def bad(self) -> bool:
        return self.state == BAD


def verdict(about: str, problem: str, fix: str, success: str) -> CheckResult:
    """Return a finding about a problem, or about success without a problem."""
    return CheckResult(about, BAD, problem, fix) if problem else CheckResult(about, OK, success)


def examine(url: str | None = None, token: str | None = None) -> list[CheckResult]:
    """Run all checks; an exception in a check is a finding."""
    checks: dict[str, Callable[[], Iterable[CheckResult]]] = {
        "python": lambda: python(sys.version_info[:3]),
        "packages": packages,
        "extension": extension,
        "kernel": kernel,
        "runtime folder": runtime_folder,
        "data folder": lambda: data_folder(_data_dir()),
        "server": lambda: server(url, token),
    }
    found: list[CheckResult] = []
    for about, check in checks.items():
        try:
            found += check()
        except Exception as error:  # any exception is possible in a broken installation
            says = f"could not be checked ({type(error).__name__}: {error})."
            found.append(
                CheckResult(about, BAD, says, "Install easymlnb again: " + _pip("easymlnb"))
            )
    return found


def show(findings: list[CheckResult], *, json: bool) -> None:
    """Print the findings, each with its fix; ends the command with 1 if there are problems."""
    count = sum(finding.bad for finding in findings)
    if json:
        output.as_json([asdict(finding) for finding in findings])
    else:
        marks = {OK: "ok  ", NOTE: "note", BAD: "BAD "}
        for finding in findings:
            output.line(f"{marks[finding.state]}  {finding.about}: {finding.says}")
            if finding.fix:
                output.line(f"      -> {finding.fix}")
        output.line(f"\n{count} problem(s) found." if count else "\nNo problems found.")
    if count:
        raise typer.Exit(1)


def _pip(what: str) -> str:
    return f"{sys.executable} -m pip install --upgrade '{what}'"


def python(version: tuple[int, ...]) -> Iterator[CheckResult]:
    """Check the version of Python."""
    text, least = ".".join(map(str, version)), ".".join(map(str, MIN_PYTHON))
    problem = "" if version >= MIN_PYTHON else f"Python {text} is too old."
    yield verdict("python", problem, f"Use Python {least} or newer.", f"{text} at {sys.executable}")


def packages() -> Iterator[CheckResult]:
    """Check that all requirements are installed."""
    wrong = list(installation.unmet_requirements())
    for wanted, found in wrong:
        says = f"{wanted} is required; installed: {found or 'none'}."
        yield CheckResult("packages", BAD, says, _pip(wanted))
    if not wrong:
        yield CheckResult("packages", OK, "all packages are installed in supported versions.")


def extension() -> Iterator[CheckResult]:
    """Check that Jupyter servers of this interpreter load the extension."""
    from jupyter_core.paths import jupyter_config_path

    if unmet := list(installation.unmet_requirements(installation.SERVER)):
        lacking = installation.listed(unmet)
        says = f"kernels and clients work, but a Jupyter server does not: {lacking} missing."
        yield CheckResult("extension", NOTE, says, _pip("easymlnb[server]"))
        return
    enabled, file = _switch([Path(folder) for folder in jupyter_config_path()])
    if enabled:
        yield CheckResult("extension", OK, f"enabled by {file}")
    elif file is not None:
        fix = "jupyter server extension enable easymlnb_server"
        yield CheckResult("extension", BAD, f"disabled by {file}.", fix)
    else:
        says = "not enabled in any Jupyter configuration of this interpreter."
        fix = _pip("easymlnb[server]") + " --force-reinstall --no-deps"
        yield CheckResult("extension", BAD, says, fix)


def _switch(folders: list[Path]) -> tuple[bool, Path | None]:
    """Return whether the extension is enabled, and the file with that setting."""
    for folder in folders:
        single = folder / "jupyter_server_config.json"
        for file in (single, *sorted((folder / "jupyter_server_config.d").glob("*.json"))):
            try:
                found = jsonlib.loads(file.read_text(encoding="utf-8"))
                enabled = found["ServerApp"]["jpserver_extensions"]["easymlnb_server"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            return bool(enabled), file
    return False, None


def kernel() -> Iterator[CheckResult]:
    """Check that the kernel of notebooks starts and imports easymlnb."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    install = f"{sys.executable} -m ipykernel install --sys-prefix"
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        yield CheckResult("kernel", BAD, "there is no kernelspec 'python3'.", install)
        return
    # Jupyter replaces these names with its own interpreter.
    own = {"python", f"python{sys.version_info[0]}", "python{}.{}".format(*sys.version_info)}
    program = sys.executable if spec.argv[0] in own else shutil.which(spec.argv[0])
    if program is None:
        says = f"the kernelspec 'python3' starts {spec.argv[0]}, which does not exist."
        yield CheckResult("kernel", BAD, says, install)
        return
    try:
        tried = subprocess.run(
            [program, "-c", PROBE], capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        yield CheckResult("kernel", BAD, f"{program} does not respond.", install)
        return
    if tried.returncode:
        reason = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
        fix = f"{program} -m pip install easymlnb ipykernel"
        yield CheckResult("kernel", BAD, f"{program}: {reason}", fix)
    elif skew := installation.version_skew(program, *tried.stdout.split()):
        yield CheckResult("kernel", BAD, skew)
    else:
        yield CheckResult("kernel", OK, f"'python3' is {program}")


def runtime_folder() -> Iterator[CheckResult]:
    """Check the folder in which running servers are found."""
    from jupyter_core.paths import jupyter_runtime_dir

    folder = Path(jupyter_runtime_dir())
    yield _writable("runtime folder", folder, "JUPYTER_RUNTIME_DIR")


def _data_dir() -> Path:
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "easymlnb"


def data_folder(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> Iterator[CheckResult]:
    """Check the folder of published services: access, file system, free space."""
    yield _writable("data folder", folder, "JUPYTER_DATA_DIR")
    kind = filesystem(_existing(folder), mounts)
    if kind in NETWORK_FILESYSTEMS:
        says = f"{folder} is on the network file system {kind}, which can damage the database."
        fix = "Set EasyMLNB.state_dir to a folder on a local disk."
        yield CheckResult("data folder", BAD, says, fix)
    free = shutil.disk_usage(_existing(folder)).free
    if free < MIN_FREE:
        says = f"only {free // 2**20} MB of disk space are free."
        yield CheckResult("data folder", NOTE, says, "Free some space before publishing more.")


def filesystem(folder: Path, mounts: Path) -> str:
    """Return the type of the filesystem of ``folder``; empty if unknown."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best = ("", "")
    for line in lines:
        _, point, kind, *_ = [*line.split(" "), "", "", ""]
        point = point.replace("\\040", " ")
        if point and folder.resolve().is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _writable(about: str, folder: Path, variable: str) -> CheckResult:
    existing = _existing(folder)
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    problem = "" if writable else f"{existing} is not writable."
    fix = f"Make it writable, or set {variable} to another folder."
    return verdict(about, problem, fix, str(folder))


def server(url: str | None, token: str | None) -> Iterator[CheckResult]:
    """Check the server; without a URL, no running server is only a note."""
    from easymlnb.client import connect
    from easymlnb.client.discovery import find

    named = bool(url or os.environ.get("EASYMLNB_URL"))
    try:
        found = find(url, token)
    except ServerUnreachable as error:
        if named:
            yield CheckResult("server", BAD, error.message)
        else:
            yield CheckResult(
                "server", NOTE, "no server is running on this machine.", "Start one: easymlnb serve"
            )
        return
    with connect(found.url, found.token) as client:
        try:
            ready = client.admin.health().get("status") == "ok"
            count = len(client.admin.services())
        except EasyMLNBError as error:
            fix = "Check the server's output, --url and --token."
            yield CheckResult("server", BAD, f"{found.url}: {error.message}", fix)
            return
    if ready:
        yield CheckResult("server", OK, f"{found.url} is ready, services: {count}.")
    else:
        fix = "The server may still be starting. If not, see its output for the cause."
        yield CheckResult("server", BAD, f"{found.url} does not run the published services.", fix)
