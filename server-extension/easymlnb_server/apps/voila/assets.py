"""The files of Voila's front end and of the few extensions that our pages need."""

import gzip
import hashlib
import logging
import mimetypes
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

EXTENSIONS = (
    "@voila-dashboards/widgets-manager8",
    "@jupyter-widgets/jupyterlab-manager",
    "anywidget",
    "jupyterlab-plotly",
)
"""Extensions of JupyterLab that are loaded, where they are installed; all others are left out."""

KINDS = {".js", ".css", ".woff", ".woff2", ".svg", ".png"}
"""Suffixes of files that pages ask for."""

PACKED = {".js", ".css", ".svg"}
"""Suffixes of files that get smaller by packing."""


@dataclass(slots=True)
class Asset:
    """A file, and its bytes packed when they were asked for once."""

    path: Path
    _packed: bytes = field(default=b"", repr=False)

    @property
    def type(self) -> str:
        """Its media type."""
        if self.path.suffix == ".js":
            return "text/javascript"
        return mimetypes.guess_type(self.path.name)[0] or "application/octet-stream"

    def read(self, packed: bool) -> tuple[bytes, bool]:
        """Return its bytes and whether they are packed with gzip."""
        if not packed or self.path.suffix not in PACKED:
            return self.path.read_bytes(), False
        if not self._packed:
            self._packed = gzip.compress(self.path.read_bytes(), 6)
        return self._packed, True


class Assets:
    """What is installed of it, looked up once. No request names a path: only what is listed is."""

    @cached_property
    def config(self) -> dict[str, Any]:
        """Voila's page config without what belongs to one page."""
        from voila.configuration import VoilaConfiguration
        from voila.utils import get_page_config

        made: dict[str, Any] = get_page_config(
            base_url="/",
            settings={},
            log=logging.getLogger("easymlnb.apps"),
            voila_configuration=VoilaConfiguration(extension_allowlist=list(EXTENSIONS)),
        )
        return made

    @cached_property
    def files(self) -> dict[str, Asset]:
        """Path below ``static/`` or ``labextensions/`` -> file."""
        from voila.paths import collect_static_paths
        from voila.utils import get_voila_labextensions_path

        # The look of the form, which belongs to the kernel's side; a file is all that is shared.
        form = Path(str(files("easymlnb"))) / "forms" / "style.css"
        found: dict[str, Asset] = {"style.css": Asset(form)}
        for folder in reversed(collect_static_paths(["voila"], "base")):
            found |= _below(Path(folder), "static")
        for folder in reversed(get_voila_labextensions_path()):
            for name in self.extensions:
                here = Path(folder) / name / "static"
                found |= _below(here, f"labextensions/{name}/static")
        return found

    @cached_property
    def extensions(self) -> dict[str, dict[str, Any]]:
        """Name -> entry of the page config, for those that are installed."""
        there = {one["name"]: one for one in self.config["federated_extensions"]}
        return {name: there[name] for name in EXTENSIONS if name in there}

    @cached_property
    def tag(self) -> str:
        """Changes with the files, so that browsers may keep them for ever."""
        facts = [
            f"{name} {asset.path.stat().st_size} {asset.path.stat().st_mtime_ns}"
            for name, asset in sorted(self.files.items())
        ]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def _below(folder: Path, at: str) -> dict[str, Asset]:
    if not folder.is_dir():
        return {}
    files = (path for path in folder.rglob("*") if path.suffix in KINDS and path.is_file())
    return {f"{at}/{path.relative_to(folder).as_posix()}": Asset(path) for path in files}
