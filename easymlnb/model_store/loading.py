"""Load a version of a model from the server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easymlnb.client import Client
from easymlnb.model_store import cache, source
from easymlnb.model_store.format_base import FILES, MLFLOW, LoadOptions
from easymlnb.model_store.formats import load_model
from easymlnb.runtime import environment


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version in memory.

    - ``model``: the full name of the model
    - ``version``: its number
    - ``value``: the object
    - ``about``: what the server says about it
    """

    model: str
    version: int
    value: Any
    about: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Name and number, such as ``forest=4``; without an owner."""
        return f"{self.model.rpartition('/')[2]}={self.version}"


def load_version(
    name: str, ref: str, options: LoadOptions, connect: Callable[[], Client] = source.client
) -> LoadedVersion:
    """Load the version of a model with a number or alias.

    Raises ``ModelNotFound``, ``ModelVersionNotFound``, ``ModelDamaged``, ``ModelNotTrusted`` or
    ``ModelUnsupported``.
    """
    client = connect()
    about = client.models.version(name, ref)
    model, number = str(about["model"]), int(about["version"])
    if about["own"]:
        options = LoadOptions(options.build, options.device, options.trusted, own=True)

    def fetch(path: str, target: Path) -> None:
        client.models.download(model, number, path, target)

    with cache.files_of(about, fetch) as folder:
        if about["format"] in (FILES, MLFLOW):
            # The author's code may read the files at any time.
            folder = _kept(folder)
        value = load_model(folder, about["format"], about["flavor"], options)
    return LoadedVersion(model, number, value, about)


def _kept(folder: Path) -> Path:
    """Return a copy of a folder that stays as long as this process."""
    import atexit
    import shutil
    import tempfile

    # A worker's own folder is removed with it, also if it is killed.
    parent = Path.cwd() if environment.in_worker() else None
    kept = Path(tempfile.mkdtemp(prefix="easymlnb-model-", dir=parent))
    shutil.copytree(folder, kept, dirs_exist_ok=True)
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
    return kept
