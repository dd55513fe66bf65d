"""Find the bundle to export: a file, a notebook, or a version on a server."""

from pathlib import Path

from easymlnb.client import Client
from easymlnb.contract.bundle import Bundle, open_bundle
from easymlnb.contract.environment_lock import LOCKED
from easymlnb.contract.errors import BundleRejected
from easymlnb.exporting.models import ExportedBundle
from easymlnb.publishing.bundle import build_bundle

FILES = (".zip", ".ipynb")


def is_file(source: str) -> bool:
    """Return whether a source names a file, not a service."""
    return source.endswith(FILES) or Path(source).is_file()


def from_file(source: str) -> ExportedBundle:
    """Read a bundle from a zip, or build it from a notebook with a locked environment.

    Raises ``BundleRejected`` or ``TooLarge``.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        raise BundleRejected(f"There is no file {source!r}. Check the path.")
    if path.suffix == ".ipynb":
        return ExportedBundle(open_bundle(build_bundle(path, environment=LOCKED).data))
    try:
        return ExportedBundle(open_bundle(path.read_bytes()))
    except OSError as error:
        raise BundleRejected(f"Cannot read the bundle {source!r} ({error.strerror}).") from error
    except BundleRejected as error:
        raise BundleRejected(f"{source!r} is not a usable bundle. {error.message}") from error


def from_server(client: Client, name: str, version: str) -> ExportedBundle:
    """Download a version; raises ``ServiceNotFound`` or ``VersionNotFound``."""
    bundle: Bundle = open_bundle(client.admin.version_bundle(name, version))
    return ExportedBundle(bundle, name, version)
