"""Widgets of other packages: the extensions for JupyterLab that are installed with the server."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_path

from easymlnb_server.apps.layout_nodes import layout_nodes
from easymlnb_server.apps.voila.assets import Asset, asset_of

FOLDER = "widgets"
"""The first folder in the path of a package's file, below ``app-assets/TAG/``."""

BASE = "@jupyter-widgets/base"
"""A package that shares this one has widgets; files of other extensions are not served."""

NAME = re.compile(r"(@[a-z0-9][\w.-]*/)?[a-z0-9][\w.-]*\Z")
"""Names that npm gives to packages."""

MAX_PACKAGES = 20
"""Packages that one page may name."""


@dataclass(frozen=True, slots=True)
class WidgetPackage:
    """An extension: its name, its folder, and a hash of what its description says."""

    name: str
    folder: Path
    tag: str
    load: str
    module: str

    def address(self, assets: str) -> dict[str, str]:
        """Return where its script is, and the module of its plugins; ``assets`` is a path."""
        return {
            "script": f"{assets}{self.tag}/{FOLDER}/{self.name}/{self.load}",
            "module": self.module,
        }

    def file(self, path: str) -> Asset | None:
        """Return one of its files; ``None`` for none. It blocks."""
        found = (self.folder / path).resolve()
        if not found.is_relative_to(self.folder.resolve() / "static") or not found.is_file():
            return None
        return asset_of(path, found)


class WidgetPackages:
    """Finds packages by their names. Each file is read and compressed once."""

    @lru_cache(maxsize=256)  # noqa: B019 - there is one such object
    def find(self, name: str) -> WidgetPackage | None:
        """Return a package that is installed and has widgets."""
        if not NAME.match(name):
            return None
        found = (_package(name, Path(root) / name) for root in jupyter_path("labextensions"))
        return next((one for one in found if one is not None), None)

    def addresses(self, names: Iterable[str], assets: str) -> dict[str, dict[str, str]]:
        """Return the address of each package that is here."""
        found = {name: self.find(name) for name in list(names)[:MAX_PACKAGES]}
        return {name: one.address(assets) for name, one in found.items() if one is not None}

    @lru_cache(maxsize=1024)  # noqa: B019
    def file(self, path: str) -> Asset | None:
        """Return the file of a path such as ``NAME/static/remoteEntry.js``. It blocks."""
        first, _, rest = path.partition("/")
        if first.startswith("@"):
            second, _, rest = rest.partition("/")
            first = f"{first}/{second}"
        package = self.find(first)
        found = package.file(rest) if package is not None else None
        if found is None or package is None:
            return None
        return Asset(found.name, package.tag, found.content, found.packed)


def modules_of(tree: Any) -> list[str]:
    """Return the modules of the widgets in an author's layout, which is not trusted."""
    found: dict[str, None] = {}
    for node in layout_nodes(tree):
        widget = node.get("widget")
        if isinstance(widget, Mapping):
            found |= dict.fromkeys(_modules(widget.get("states")))
    return list(found)


def _modules(states: Any) -> Iterable[str]:
    for one in states.values() if isinstance(states, Mapping) else ():
        if isinstance(one, Mapping):
            yield str(one.get("model_module"))


def _package(name: str, folder: Path) -> WidgetPackage | None:
    try:
        data = (folder / "package.json").read_bytes()
        about = json.loads(data)["jupyterlab"]
        build = about["_build"]
        if BASE not in (about.get("sharedPackages") or {}):
            return None
        tag = hashlib.sha256(data).hexdigest()[:12]
        return WidgetPackage(name, folder, tag, str(build["load"]), str(build["extension"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
