"""Write the build context of an image, and build it."""

import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from easymlnb.client.checkout import check_empty
from easymlnb.contract import bundle as contract
from easymlnb.contract.bundle import Manifest
from easymlnb.exporting import dockerfile
from easymlnb.exporting.labels import image_labels
from easymlnb.exporting.models import ExportedBundle
from easymlnb.exporting.names import check_image
from easymlnb.exporting.packages import DEBUGGER, PackageOptions, download, lock_image

BUILDERS = {"buildah": "bud", "podman": "build", "docker": "build"}
"""Programs that build images, with their command, in the order in which they are looked for."""

KERNEL = "python3"
LOCK = "requirements.lock"
WHEELS = "wheels"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """How an image is made.

    - ``base``: the image to start from; default: the slim image of the recorded Python
    - ``wheels``: put all packages into the context, so that the build needs no index
    - ``packages``: which packages it has
    """

    base: str = ""
    wheels: bool = False
    packages: PackageOptions = field(default_factory=PackageOptions)


@dataclass(frozen=True, slots=True)
class BuildContext:
    """A build context on disk.

    - ``files``: paths relative to the folder
    - ``packages``: number of packages in the image
    """

    folder: Path
    files: tuple[str, ...]
    packages: int


def write_context(exported: ExportedBundle, folder: Path, options: ImageOptions) -> BuildContext:
    """Write a build context to ``folder``, which is empty or does not exist.

    Raises ``BundleRejected`` or ``FileExistsError``; then nothing is written.
    """
    check_empty(folder)
    with TemporaryDirectory(prefix="easymlnb-export-") as temporary:
        made = Path(temporary) / "context"
        wheels = made / WHEELS
        wheels.mkdir(parents=True)
        packages = lock_image(exported, wheels, options.packages)
        lock = made / LOCK
        lock.write_text(packages.lock, encoding="utf-8")
        if options.wheels:
            download(packages, lock, wheels)
        has_wheels = any(wheels.iterdir())
        if not has_wheels:
            wheels.rmdir()
        base = check_image(options.base or f"docker.io/library/python:{packages.python}-slim")
        text = dockerfile.render(
            base, image_labels(exported, base), wheels=has_wheels, offline=options.wheels
        )
        (made / "Dockerfile").write_text(text, encoding="utf-8")
        (made / "bundle.zip").write_bytes(for_image(exported, debugger=options.packages.debugger))
        for file in made.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        shutil.copytree(made, folder, dirs_exist_ok=True)
    files = sorted(
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()
    )
    return BuildContext(folder, tuple(files), packages.count)


def for_image(exported: ExportedBundle, *, debugger: bool = False) -> bytes:
    """Return the bundle as the image serves it: its packages are those of the image."""
    manifest: Manifest = exported.manifest
    recorded = manifest.environment
    packages = {
        name: version for name, version in recorded.packages.items() if debugger or name != DEBUGGER
    }
    changed = msgspec.structs.replace(
        manifest,
        lock=None,
        kernel=KERNEL,
        environment=msgspec.structs.replace(recorded, packages=packages),
    )
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        exported.bundle.extract(folder)
        files = {path: folder.joinpath(*path.split("/")) for path in manifest.files}
        return contract.write(changed, exported.bundle.notebook, files)


def build_command(tag: str, folder: Path) -> list[str]:
    """Return the command that builds a context; without a builder, that of docker."""
    found = next((name for name in BUILDERS if shutil.which(name)), "docker")
    return [found, BUILDERS[found], "--tag", tag, str(folder)]


def build(tag: str, folder: Path) -> None:
    """Build a context, with the output of the builder on the terminal.

    Raises ``ValueError`` without a builder, or if the build fails.
    """
    command = build_command(tag, folder)
    if shutil.which(command[0]) is None:
        raise ValueError(
            "No program that builds images is installed here. Install buildah, podman or docker, "
            f"or build {str(folder)!r} on another machine: {shlex.join(command)}"
        )
    done = subprocess.run(command)
    if done.returncode:
        raise ValueError(
            f"{command[0]} could not build the image (exit code {done.returncode}). See its output "
            f"above. The context is in {str(folder)!r}."
        )
