"""The files of app pages: the front end in our Voila template, and scripts that few pages need."""

import hashlib
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from easymlnb_server.apps.voila import plot_scripts
from easymlnb_server.apps.voila.encodings import BEST, FAST, best_encoding

TEMPLATE = "easymlnb"
"""The name of the Voila template."""

SHARE = Path(__file__).parent / "share"
"""Where Voila finds the template: a folder as ``share/jupyter``."""

PACKAGE = Path(__file__).parents[2]

COMPRESSED = {".js", ".css", ".svg"}
"""Suffixes of files to compress."""

SLOW = 2**20
"""Bytes above which the best compression takes seconds."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, and its compressed content by the name of the encoding.

    ``tag`` is a hash of the content, so that browsers can keep the file without a time limit.
    """

    name: str
    tag: str
    content: bytes | Path
    packed: Mapping[str, bytes]

    @property
    def type(self) -> str:
        """The media type."""
        if self.name.endswith(".js"):
            return "text/javascript"
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"

    def encoding(self, accepted: str) -> str:
        """Return the best encoding for an ``Accept-Encoding`` header."""
        return best_encoding(accepted, self.packed)

    def read(self, encoding: str) -> bytes:
        """Return the content in one of ``packed``'s encodings, or as it is for ""."""
        if encoding:
            return self.packed[encoding]
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


class Assets:
    """All files. They are read and compressed once, in advance; requests can name no others."""

    @cached_property
    def files(self) -> dict[str, Asset]:
        """Name -> file."""
        static = [folder / "static" for folder in template_folders()]
        theme = (PACKAGE / "static/theme.js").read_bytes()
        found: dict[str, bytes | Path] = {
            "app.js": _find(static, "app.js"),
            "early.js": theme + _find(static, "early.js").read_bytes(),
        }
        if (plotly := plot_scripts.full()) is not None:
            found[f"{plot_scripts.FULL}.js"] = plotly
        made = {name: asset_of(name, content) for name, content in found.items()}
        small = {f"{name}.js": plot_scripts.small(name) for name in plot_scripts.SMALL}
        return made | {name: Asset(name, _tag(each[0]), *each) for name, each in small.items()}

    @cached_property
    def style(self) -> str:
        """The style sheet, which pages contain."""
        static = [folder / "static" for folder in template_folders()]
        form = files("easymlnb").joinpath("forms", "style.css").read_bytes()
        own = [(PACKAGE / f"static/{name}").read_bytes() for name in ("easymlnb.css", "app.css")]
        # The order decides: ours is last.
        return minified(
            b"\n".join([*own, _find(static, "widgets.css").read_bytes(), form]).decode()
        )

    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return name in self.files

    def path(self, name: str) -> str:
        """Return the path of a file below ``app-assets/``."""
        return f"{self.files[name].tag}/{name}"


def template_folders() -> list[Path]:
    """Return the folders of the Voila template: an administrator's own comes first."""
    from jupyter_core.paths import jupyter_path
    from voila.paths import collect_template_paths

    roots = [*jupyter_path(), str(SHARE)]
    paths = collect_template_paths(["voila"], TEMPLATE, prune=True, root_dirs=roots)
    return [Path(path) for path in paths]


def minified(style: str) -> str:
    """Return a style sheet without comments and indentation."""
    style = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    return "\n".join(filter(None, map(str.strip, style.splitlines())))


def _find(folders: list[Path], name: str) -> Path:
    return next(folder / name for folder in folders if (folder / name).is_file())


def asset_of(name: str, content: bytes | Path) -> Asset:
    """Return a file with its compressed content. It blocks."""
    data = content if isinstance(content, bytes) else content.read_bytes()
    encoders = BEST if len(data) <= SLOW else FAST
    packs = encoders.items() if Path(name).suffix in COMPRESSED else ()
    return Asset(name, _tag(data), content, {encoding: pack(data) for encoding, pack in packs})


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
