"""A service's metadata in the formats of other catalogs. Pure functions.

The formats are the application schema v1 of DEEP Hybrid-DataCloud (``deep-apps.json`` of
``deephdc/schema4deep``), the metadata schema v2.3.0 of AI4OS (``ai4-apps-v2.3.0.json`` of
``ai4os/ai4-metadata``), and schema.org.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import msgspec

from easymlnb.contract import units
from easymlnb.contract.metadata import Metadata, Resources
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.services import summaries

MB = 2**20
AI4OS_VERSION = "2.3.0"
DEEP_REQUIRED = (
    *("title", "summary", "description", "date_creation", "keywords", "license"),
    *("sources.dockerfile_repo", "sources.docker_registry_repo", "sources.code"),
)
AI4OS_REQUIRED = (
    *("metadata_version", "title", "summary", "description", "links.source_code"),
    *("libraries", "tasks", "categories", "tags"),
)
"""The fields that each schema requires. A list may be empty, but must be present."""

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
"""Kind of an input -> AI4OS's name for it."""


@dataclass(frozen=True, slots=True)
class DescribedService:
    """A service to describe.

    version: a number or ``live``.
    published: ISO date, or empty.
    url: absolute URL of the service's page.
    picture: absolute URL of its thumbnail, or empty.
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
        """Return the URL to cite."""
        text = self.about.citation
        return text if text.startswith(("https://", "http://")) else self.doi

    @property
    def needs(self) -> Resources:
        """Return the resources that the author states, else those of its workers."""
        stated, workers = self.about.resources, self.spec.resources
        gpus = 0 if isinstance(workers.gpu, str) else ceil(workers.gpu)
        return msgspec.structs.replace(
            stated, memory=stated.memory or workers.memory, gpu=stated.gpu or gpus
        )

    @property
    def created(self) -> str:
        return self.about.date or self.published[:10]


def document(subject: DescribedService) -> dict[str, Any]:
    """Return the metadata in all formats, and the fields that are missing in each schema."""
    for_deep, for_ai4os = deep(subject), ai4os(subject)
    return {
        "metadata": as_written(subject.spec),
        "deep": for_deep,
        "ai4os": for_ai4os,
        "schema_org": schema_org(subject),
        "missing": {
            "deep": _missing(for_deep, DEEP_REQUIRED),
            "ai4os": _missing(for_ai4os, AI4OS_REQUIRED),
        },
    }


def as_written(spec: ServiceSpec) -> dict[str, Any]:
    """Return the fields that the author wrote, without the picture."""
    more = msgspec.to_builtins(spec.metadata or Metadata())
    more.pop("thumbnail", None)
    return _present(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        author=spec.author,
        license=spec.license,
        tags=list(spec.tags),
        **more,
    )


def deep(subject: DescribedService) -> dict[str, Any]:
    """Return DEEP's format without missing fields, even required ones."""
    spec, about = subject.spec, subject.about
    return _present(
        title=spec.title,
        summary=subject.summary,
        description=spec.description.splitlines(),
        date_creation=subject.created,
        keywords=list(spec.tags),
        license=spec.license,
        cite_url=subject.citation,
        dataset_url=about.dataset,
        sources=_present(code=about.source),
    ) | {"keywords": list(spec.tags)}


def ai4os(subject: DescribedService) -> dict[str, Any]:
    """Return AI4OS's format without missing fields, even required ones."""
    spec, about = subject.spec, subject.about
    needs = subject.needs
    dates = _present(created=subject.created, updated=subject.published[:10] or subject.created)
    kinds = [DATA_TYPES[kind] for kind in summaries.inputs(spec) if kind in DATA_TYPES]
    return _present(
        metadata_version=AI4OS_VERSION,
        title=spec.title,
        summary=subject.summary,
        description=spec.description or subject.summary,
        doi=about.doi,
        links=_present(
            self=f"{subject.url.removesuffix('/page')}/metadata",
            documentation=about.documentation or subject.url,
            source_code=about.source,
            zenodo_doi=subject.doi if "zenodo" in about.doi else "",
            dataset=about.dataset,
            citation=subject.citation,
        ),
        dates=dates if subject.created else {},
        resources=_present(
            inference=_present(
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
    return {"@context": "https://schema.org", "@type": "SoftwareApplication"} | _present(
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


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _listed(names: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    """Return the names as a closed list spells them; unknown ones become ``Other``."""
    spellings = {_normalized(name): name for name in known} | {
        "sklearn": "Scikit-learn",
        "torch": "PyTorch",
    }
    return list(dict.fromkeys(spellings.get(_normalized(name), "Other") for name in names))


def _normalized(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _missing(document: dict[str, Any], required: tuple[str, ...]) -> list[str]:
    def is_present(path: str) -> bool:
        value: Any = document
        for part in path.split("."):
            if not isinstance(value, dict) or part not in value:
                return False
            value = value[part]
        return True

    return [path for path in required if not is_present(path)]
