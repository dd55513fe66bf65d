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
"""JupyterLab extensions to load if they are installed; all others are ignored."""

KINDS = {".js", ".css", ".woff", ".woff2", ".svg", ".png"}
"""Suffixes of files that pages request."""

COMPRESSED = {".js", ".css", ".svg"}
"""Suffixes of files to compress."""


@dataclass(slots=True)
class Asset:
    """A file, with its compressed content after the first request."""

    path: Path
    _compressed: bytes = field(default=b"", repr=False)

    @property
    def type(self) -> str:
        """The media type."""
        if self.path.suffix == ".js":
            return "text/javascript"
        return mimetypes.guess_type(self.path.name)[0] or "application/octet-stream"

    def read(self, compressed: bool) -> tuple[bytes, bool]:
        """Return the content and whether it is compressed with gzip."""
        if not compressed or self.path.suffix not in COMPRESSED:
            return self.path.read_bytes(), False
        if not self._compressed:
            self._compressed = gzip.compress(self.path.read_bytes(), 6)
        return self._compressed, True


class Assets:
    """The installed files, listed once. Requests can only name listed files, not paths."""

    @cached_property
    def config(self) -> dict[str, Any]:
        """Voila's page configuration, without the values of a single page."""
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

        # The style sheet of forms is a file of the kernel side.
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
        """Installed extensions: name -> entry of the page configuration."""
        installed = {one["name"]: one for one in self.config["federated_extensions"]}
        return {name: installed[name] for name in EXTENSIONS if name in installed}

    @cached_property
    def tag(self) -> str:
        """A hash of the files, so that browsers can cache them without a time limit."""
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
