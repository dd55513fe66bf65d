"""A service's metadata in formats of other catalogs. Pure functions.

The forms are those of the application schema v1 of DEEP Hybrid-DataCloud (``deep-apps.json`` of
``deephdc/schema4deep``), the metadata schema v2.3.0 of AI4OS (``ai4-apps-v2.3.0.json`` of
``ai4os/ai4-metadata``), and schema.org.
"""

import json
from dataclasses import dataclass
from math import ceil
from typing import Any

import msgspec
from markupsafe import Markup

from easymlnb.contract import units
from easymlnb.contract.metadata import Metadata, Resources
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.services import summaries

MB = 2**20
AI4OS_VERSION = "2.3.0"
DEEP_WANTS = (
    *("title", "summary", "description", "date_creation", "keywords", "license"),
    *("sources.dockerfile_repo", "sources.docker_registry_repo", "sources.code"),
)
AI4OS_WANTS = (
    *("metadata_version", "title", "summary", "description", "links.source_code"),
    *("libraries", "tasks", "categories", "tags"),
)
"""What each schema requires. Lists may be empty, but must be there."""

LIBRARIES = ("TensorFlow", "PyTorch", "Keras", "Scikit-learn", "XGBoost", "LightGBM", "CatBoost")
TASKS = (
    *("Computer Vision", "Natural Language Processing", "Time Series", "Recommender Systems"),
    *("Anomaly Detection", "Regression", "Classification", "Clustering"),
    *("Dimensionality Reduction", "Generative Models", "Graph Neural Networks", "Optimization"),
    *("Reinforcement Learning", "Transfer Learning", "Uncertainty Estimation"),
)
DATA_TYPES = {
    "audio": "Audio",
    "image": "Image",
    "table": "Tabular",
    "text": "Text",
    "time series": "Time Series",
}
"""Our words for what a service takes, and AI4OS's."""


@dataclass(frozen=True, slots=True)
class DescribedService:
    """What is described. ``version`` is a number or ``live``, ``published`` an ISO date or empty.

    ``url`` is the absolute address of the service's page, ``picture`` that of its thumbnail.
    """

    spec: ServiceSpec
    version: str
    published: str
    url: str
    picture: str = ""

    @property
    def about(self) -> Metadata:
        return self.spec.metadata or Metadata()

    @property
    def summary(self) -> str:
        return self.about.summary or summaries.summary(self.spec.description) or self.spec.title

    @property
    def doi(self) -> str:
        return f"https://doi.org/{self.about.doi}" if self.about.doi else ""

    @property
    def citation(self) -> str:
        """Return the address of what is to be cited."""
        text = self.about.citation
        return text if text.startswith(("https://", "http://")) else self.doi

    @property
    def needs(self) -> Resources:
        """Return what the author says that it needs, and else what its workers are given."""
        said, given = self.about.resources, self.spec.resources
        gpus = 0 if isinstance(given.gpu, str) else ceil(given.gpu)
        return msgspec.structs.replace(
            said, memory=said.memory or given.memory, gpu=said.gpu or gpus
        )

    @property
    def created(self) -> str:
        return self.about.date or self.published[:10]


def document(subject: DescribedService) -> dict[str, Any]:
    """Return all forms side by side, and what is missing for the schemas that want it."""
    own, theirs = deep(subject), ai4os(subject)
    return {
        "metadata": plain(subject.spec),
        "deep": own,
        "ai4os": theirs,
        "schema_org": schema_org(subject),
        "missing": {"deep": _missing(own, DEEP_WANTS), "ai4os": _missing(theirs, AI4OS_WANTS)},
    }


def plain(spec: ServiceSpec) -> dict[str, Any]:
    """Return the fields that are said, without the picture."""
    found: dict[str, Any] = {
        "name": spec.name,
        "title": spec.title,
        "description": spec.description,
    }
    found |= {"author": spec.author, "license": spec.license, "tags": list(spec.tags)}
    found |= msgspec.to_builtins(spec.metadata or Metadata())
    return {key: value for key, value in found.items() if value and key != "thumbnail"}


def deep(subject: DescribedService) -> dict[str, Any]:
    """Return DEEP's form; what is not said is left out, also where the schema wants it."""
    spec, about = subject.spec, subject.about
    return _said(
        title=spec.title,
        summary=subject.summary,
        description=spec.description.splitlines(),
        date_creation=subject.created,
        keywords=list(spec.tags),
        license=spec.license,
        cite_url=subject.citation,
        dataset_url=about.dataset,
        sources=_said(code=about.source),
    ) | {"keywords": list(spec.tags)}


def ai4os(subject: DescribedService) -> dict[str, Any]:
    """Return AI4OS's form; what is not said is left out, also where the schema wants it."""
    spec, about = subject.spec, subject.about
    needs = subject.needs
    dates = _said(created=subject.created, updated=subject.published[:10] or subject.created)
    kinds = [DATA_TYPES[kind] for kind in summaries.inputs(spec) if kind in DATA_TYPES]
    return _said(
        metadata_version=AI4OS_VERSION,
        title=spec.title,
        summary=subject.summary,
        description=spec.description or subject.summary,
        doi=about.doi,
        links=_said(
            self=f"{subject.url.removesuffix('/page')}/metadata",
            documentation=about.documentation or subject.url,
            source_code=about.source,
            zenodo_doi=subject.doi if "zenodo" in about.doi else "",
            dataset=about.dataset,
            citation=subject.citation,
        ),
        dates=dates if subject.created else {},
        resources=_said(
            inference=_said(
                cpu=needs.cpu,
                gpu=needs.gpu,
                memory_MB=round(needs.memory / MB),
                gpu_memory_MB=round(needs.gpu_memory / MB),
                storage_MB=round(needs.storage / MB),
            )
        ),
    ) | {
        "libraries": _listed(about.libraries, LIBRARIES),
        "tasks": _listed(about.tasks, TASKS),
        "categories": ["AI4 inference"],
        "tags": list(spec.tags),
        "data-type": kinds or ["Other"],
    }


def schema_org(subject: DescribedService) -> dict[str, Any]:
    """Return the service as a schema.org ``SoftwareApplication``."""
    spec, about = subject.spec, subject.about
    needs = subject.needs
    gpu = f"{needs.gpu} GPU" + (
        f" with {units.format_size(needs.gpu_memory)}" if needs.gpu_memory else ""
    )
    return {"@context": "https://schema.org", "@type": "SoftwareApplication"} | _said(
        name=spec.title,
        alternateName=spec.name,
        description=subject.summary,
        url=subject.url,
        image=subject.picture,
        applicationCategory="ScientificApplication",
        author={"@type": "Person", "name": spec.author} if spec.author else None,
        license=spec.license,
        keywords=", ".join(spec.tags),
        dateCreated=subject.created,
        datePublished=subject.published[:10],
        softwareVersion=subject.version,
        identifier=subject.doi,
        citation=about.citation or subject.doi,
        isBasedOn=about.dataset,
        softwareHelp=about.documentation,
        memoryRequirements=units.format_size(needs.memory) if needs.memory else "",
        storageRequirements=units.format_size(needs.storage) if needs.storage else "",
        processorRequirements=gpu if needs.gpu else "",
    )


def embedded(data: Any) -> Markup:
    """Return JSON that may stand inside a ``script`` element: nothing in it can end that."""
    text = json.dumps(data, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _said(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _listed(given: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    """Return the entries of a closed list that are meant; others become ``Other``."""
    spellings = {_bare(name): name for name in known} | {
        "sklearn": "Scikit-learn",
        "torch": "PyTorch",
    }
    return list(dict.fromkeys(spellings.get(_bare(name), "Other") for name in given))


def _bare(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _missing(found: dict[str, Any], wanted: tuple[str, ...]) -> list[str]:
    def there(path: str) -> bool:
        at: Any = found
        for part in path.split("."):
            if not isinstance(at, dict) or part not in at:
                return False
            at = at[part]
        return True

    return [path for path in wanted if not there(path)]
