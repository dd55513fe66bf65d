"""An environment of a kernel with packages of its own, and a wheelhouse to lock them with."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

from easymlnb.contract.environment_lock import WHEELHOUSE_ENV
from easymlnb.contract.uv import find_uv
from easymlnb.publishing.bundle.environment import needed_packages
from easymlnb.publishing.bundle.repack import repack
from support.environments import ROOT, Installed


def wheel(folder: Path, name: str, version: str) -> Path:
    """Write the wheel of a package whose ``VALUE`` is its version."""
    base = f"{name}-{version}"
    path = folder / f"{base}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"VALUE = {version}\n")
        info = f"{base}.dist-info"
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        # Older releases of uv install it as it is; names of modules are found in it.
        files = (f"{name}.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD")
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in files))
    return path


class KernelEnvironment(Installed):
    """A kernel's environment: ours, and packages of its own."""

    def pip(self, *arguments: str | Path) -> None:
        command = [find_uv(), "pip", "install", "-q", "--no-index", "--python", self.python]
        subprocess.run([*map(str, command), *map(str, arguments)], check=True)

    def publish(self, url: str, token: str, wheelhouse: Path, path: Path, *options: str) -> str:
        """Publish a notebook with the command line; return what it prints."""
        code = "from easymlnb.cli import main; main()"
        server_options = ("--url", url, "--token", token)
        ran = subprocess.run(
            [self.python, "-c", code, "publish", path, *options, *server_options],
            env={**os.environ, WHEELHOUSE_ENV: str(wheelhouse)},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr


def make_wheelhouse(folder: Path) -> Path:
    """Write wheels of what workers need, as it is installed here, and of ``tiny_pure``."""
    folder.mkdir(exist_ok=True)
    for name in needed_packages((), ()).keys() - {"easymlnb"}:
        repack(metadata.distribution(name), folder)
    for version in ("1.0", "2.0"):
        wheel(folder, "tiny_pure", version)
    return folder


def make_kernel(folder: Path, wheelhouse: Path) -> KernelEnvironment:
    """Make an environment with ours, and ``tiny_pure`` 1.0."""
    made = KernelEnvironment(folder)
    subprocess.run([find_uv(), "venv", "-q", "--python", sys.executable, made.folder], check=True)
    (site,) = made.folder.glob("lib/python*/site-packages")
    here = (sysconfig.get_path("purelib"), str(ROOT), str(ROOT / "server-extension"))
    (site / "here.pth").write_text("\n".join(here))
    made.pip("--find-links", wheelhouse, "tiny_pure==1.0")
    return made
