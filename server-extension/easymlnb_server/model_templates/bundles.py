"""The notebooks of templates, as bundles that can be published."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from easymlnb.contract import bundle as bundles
from easymlnb.contract.bundle import Manifest
from easymlnb.contract.errors import BadRequest

TABLES = (".csv", ".tsv", ".txt", ".json", ".parquet", ".arrow")
MAX_TABLE = 512 * 2**20
MAX_IMAGES = 2**30

PREFIX = "template_"
"""Start of the names of the services of templates."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template: what it reads, and the names of its services."""

    name: str
    title: str
    description: str
    accept: tuple[str, ...]
    max_bytes: int

    @property
    def predict(self) -> str:
        """The service that predicts with any model of the template."""
        return f"{PREFIX}{self.name}"

    @property
    def look(self) -> str:
        """The service that describes data."""
        return f"{PREFIX}{self.name}_look"

    @property
    def train(self) -> str:
        """The service that trains a model, as a job."""
        return f"{PREFIX}{self.name}_train"

    @property
    def describe(self) -> str:
        """The service that describes a model as a service."""
        return f"{PREFIX}{self.name}_describe"

    @property
    def services(self) -> tuple[str, ...]:
        return self.describe, self.look, self.predict, self.train

    @property
    def uploads(self) -> str:
        """What uploads of data are announced for; no service can have this name."""
        return f"template:{self.name}"


TEMPLATES = {
    template.name: template
    for template in (
        Template(
            "tabular",
            "Predict a column of a table",
            "A number or a class, from the other columns.",
            TABLES,
            MAX_TABLE,
        ),
        Template(
            "forecast",
            "Continue a series in time",
            "The next values of a table of times and values.",
            TABLES,
            MAX_TABLE,
        ),
        Template(
            "images",
            "Tell images apart",
            "Classes of images, from a zip with one folder per class.",
            (".zip",),
            MAX_IMAGES,
        ),
    )
}


def template_named(name: str) -> Template:
    """Return a template; raises ``BadRequest``."""
    found = TEMPLATES.get(name)
    if found is None:
        raise BadRequest(f"There is no template {name[:40]!r}. Use one of {', '.join(TEMPLATES)}.")
    return found


@cache
def bundle_of(template: str) -> bytes:
    """Return the bundle of a template."""
    path = files("easymlnb") / "templates" / "notebooks" / f"{template}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    found = TEMPLATES[template]
    manifest = Manifest(
        notebook=f"{template}.ipynb",
        defines=tuple(sorted(found.services)),
        requirements=("easymlnb[train]",),
    )
    return bundles.write(manifest, notebook, {})


@cache
def bundle_id(template: str) -> str:
    """Return the id of a template's bundle."""
    return bundles.open_bundle(bundle_of(template)).id
