"""A service's metadata in the formats of other catalogs. Pure functions.

The formats are the application schema v1 of DEEP Hybrid-DataCloud (``deep-apps.json`` of
``deephdc/schema4deep``), the metadata schema v2.3.0 of AI4OS (``ai4-apps-v2.3.0.json`` of
``ai4os/ai4-metadata``), MLDCAT-AP 3.0, and schema.org.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from easymlnb.contract import ai4os as vocabulary
from easymlnb.contract import units
from easymlnb.contract.metadata import Metadata
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.services import mldcat_ap, summaries
from easymlnb_server.services.described_service import DescribedService

MB = 2**20
DEEP_REQUIRED = (
    *("title", "summary", "description", "date_creation", "keywords", "license"),
    *("sources.dockerfile_repo", "sources.docker_registry_repo", "sources.code"),
)
"""The fields that DEEP's schema requires. A list may be empty, but must be present."""


def document(subject: DescribedService) -> dict[str, Any]:
    """Return the metadata in all formats, and the fields that are missing in each schema."""
    for_deep, for_ai4os = deep(subject), ai4os(subject)
    return {
        "metadata": as_written(subject.spec),
        "deep": for_deep,
        "ai4os": for_ai4os,
        "mldcat_ap": mldcat_ap.document(subject),
        "schema_org": schema_org(subject),
        "missing": {
            "deep": vocabulary.missing(for_deep, DEEP_REQUIRED),
            "ai4os": vocabulary.missing(for_ai4os, vocabulary.REQUIRED),
            "mldcat_ap": mldcat_ap.missing(subject),
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
    types = vocabulary.DATA_TYPES
    kinds = [types[kind] for kind in summaries.inputs(spec) if kind in types]
    return _present(
        metadata_version=vocabulary.VERSION,
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
        "libraries": vocabulary.listed(about.libraries, vocabulary.LIBRARIES),
        "tasks": vocabulary.listed(about.tasks, vocabulary.TASKS),
        "categories": [vocabulary.CATEGORY],
        "tags": list(spec.tags),
        "data-type": kinds or [vocabulary.OTHER],
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


FORMATS: dict[str, Callable[[DescribedService], dict[str, Any]]] = {
    "ai4os": ai4os,
    "deep": deep,
    "mldcat-ap": mldcat_ap.document,
    "schema.org": schema_org,
}
"""Name of a format -> what writes a service in it."""
