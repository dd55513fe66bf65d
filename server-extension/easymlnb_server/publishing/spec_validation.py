"""What a worker offers, before others get to see it.

A worker runs its author's code, which may send what it likes. Everybody's catalog reads what
becomes a service, so nothing does that cannot be read.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from nbformat import NotebookNode

from easymlnb.contract import units
from easymlnb.contract.bundle import Manifest
from easymlnb.contract.environment_lock import LOCKED
from easymlnb.contract.errors import BundleRejected, DeploymentFailed
from easymlnb.contract.file_parameters import file_parameters
from easymlnb.contract.jsonschema import check
from easymlnb.contract.names import name_problem
from easymlnb.contract.snippets import snippets
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.openapi import document
from easymlnb_server.publishing import page_from_cells
from easymlnb_server.services import metadata_formats, summaries
from easymlnb_server.services.described_service import DescribedService

LARGEST = 32 * 2**20
"""Bytes of what a service says of itself, as JSON, with its page and its examples."""

LARGEST_TEXT = 2**20
"""Maximum bytes of the remaining fields together, most of which are in lists."""

LOCK_REQUIRED = (
    "This server accepts only versions with a locked environment. Publish with "
    "environment='locked', or on the command line with --locked."
)
NOT_LOCKED = (
    "The service {name!r} says environment='locked', but the bundle has no lock. Write 'locked' "
    "as a literal in the decorator, or publish with environment='locked' (--locked)."
)

log = logging.getLogger("easymlnb.publications")


def describe_specs(
    offered: Iterable[ServiceSpec], manifest: Mapping[str, Any], notebook: NotebookNode
) -> list[ServiceSpec]:
    """Return the specs with the notebook's metadata; raises what ``validate_specs`` does."""
    metadata = manifest.get("metadata", {})
    described = [spec.with_notebook_metadata(metadata) for spec in offered]
    wants = next((spec.name for spec in described if spec.environment == LOCKED), "")
    if wants and not manifest.get("lock"):
        raise DeploymentFailed(NOT_LOCKED.format(name=wants))
    return validate_specs(described, notebook)


def validate_specs(offered: Iterable[ServiceSpec], notebook: NotebookNode) -> list[ServiceSpec]:
    """Return the specs with their pages, see ``tagged``; raises ``DeploymentFailed``."""
    found = page_from_cells.with_pages(offered, notebook)
    for spec in found:
        _check(spec)
    return found


def check_lock(manifest: Manifest) -> None:
    """Raise ``BundleRejected`` for a bundle without a locked environment."""
    if manifest.lock is None:
        raise BundleRejected(LOCK_REQUIRED)


def _check(spec: ServiceSpec) -> None:
    if problem := name_problem(spec.name):
        raise DeploymentFailed(problem)
    plain = msgspec.structs.replace(spec, app=None, examples=())
    try:
        sizes = [len(msgspec.json.encode(one)) for one in (plain, spec)]
        if sizes[0] <= LARGEST_TEXT:
            _read(spec)
    except Exception as error:
        # RecursionError among them, from a schema that is too deep.
        log.info("Could not read the description of service %s: %r", spec.name, error)
        raise DeploymentFailed(
            f"The description of the service {spec.name!r} cannot be read. Its schema must be "
            "valid JSON Schema (2020-12)."
        ) from error
    for size, limit in zip(sizes, (LARGEST_TEXT, LARGEST), strict=True):
        if size > limit:
            raise DeploymentFailed(
                f"The description of the service {spec.name!r} has {units.format_size(size)}, over "
                f"the limit of {units.format_size(limit)}. Remove large data from its texts and "
                "examples."
            )


def _read(spec: ServiceSpec) -> None:
    """Read a spec in all the ways in which pages and lists do."""
    for schema in (spec.input, spec.output):
        check(schema)
    file_parameters(spec.input)
    summaries.shape(spec)
    summaries.inputs(spec)
    summaries.fields(spec)
    summaries.summary(spec.description)
    snippets(spec, summaries.example(spec))
    document.service_document(spec, url="", version="")
    metadata_formats.document(DescribedService(spec, "1", "", "", ""))
