"""The labels of an image, and of the objects in a cluster."""

import re
from collections.abc import Mapping
from typing import Any

from easymlnb._version import __version__
from easymlnb.contract.metadata import SERVICES
from easymlnb.exporting.models import ExportedBundle
from easymlnb.exporting.names import MAX_LABEL

OCI = "org.opencontainers.image."
OWN = "org.easymlnb."
FIELDS = {
    "title": "title",
    "description": "summary",
    "authors": "author",
    "licenses": "license",
    "source": "source",
    "documentation": "documentation",
}
"""Labels by the fields of a service's metadata."""


def image_labels(exported: ExportedBundle, base: str) -> dict[str, str]:
    """Return the OCI labels of an image."""
    manifest = exported.manifest
    metadata = _metadata(manifest.metadata, exported.title)
    labels = {OCI + label: _text(metadata.get(field)) for label, field in FIELDS.items()}
    labels[OCI + "title"] = labels[OCI + "title"] or exported.title
    labels |= {
        OCI + "version": exported.tag,
        OCI + "revision": manifest.environment.commit,
        OCI + "created": manifest.environment.created,
        OCI + "base.name": base,
        OWN + "bundle": exported.bundle.id,
        OWN + "services": " ".join(exported.services),
        OWN + "version": __version__,
    }
    return {name: value for name, value in labels.items() if value}


def object_labels(exported: ExportedBundle, name: str) -> dict[str, str]:
    """Return Kubernetes' recommended labels."""
    version = re.sub(r"[^A-Za-z0-9._-]", "-", exported.tag)[:MAX_LABEL].strip("-._")
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/version": version,
        "app.kubernetes.io/managed-by": "easymlnb",
    }


def object_annotations(exported: ExportedBundle) -> dict[str, str]:
    """Return annotations that say what runs."""
    return {OWN + "bundle": exported.bundle.id, OWN + "services": " ".join(exported.services)}


def _metadata(given: Mapping[str, Any], title: str) -> Mapping[str, Any]:
    """Return the fields for all services, with those of one of them."""
    own = given.get(SERVICES)
    special = own.get(title) if isinstance(own, Mapping) else None
    return {**given, **(special if isinstance(special, Mapping) else {})}


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return " ".join(str(value).split()) if value is not None else ""
