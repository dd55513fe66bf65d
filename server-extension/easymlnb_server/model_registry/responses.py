"""Describe models and versions as responses contain them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from msgspec import UNSET

from easymlnb.contract.model_names import url_path
from easymlnb_server.identity.access import Access
from easymlnb_server.model_registry import rules
from easymlnb_server.model_registry.models import (
    AliasShown,
    FileShown,
    MetricShown,
    ModelComparison,
    ModelDetails,
    ModelShown,
    ServingShown,
    UseShown,
    VersionDetails,
    VersionShown,
)
from easymlnb_server.model_registry.rollout import ServedModel
from easymlnb_server.store.model_records import (
    AliasRow,
    MetricPoint,
    ModelOverview,
    ModelUse,
    ModelVersionRow,
)


def timestamp(seconds: float) -> str:
    """Return a time in seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def model(found: ModelOverview, root: str) -> ModelShown:
    """Return a model for a list; ``root`` is the URL of all routes."""
    row = found.model
    return ModelShown(
        name=row.name,
        owner=row.owner,
        title=row.title,
        description=row.description,
        tags=row.tags,
        template=row.template,
        latest=found.latest,
        versions=list(found.numbers),
        aliases=found.aliases,
        created=timestamp(row.created),
        changed=timestamp(row.changed),
        url=root + url_path(row.name),
    )


def details(
    found: ModelOverview,
    aliases: Iterable[AliasRow],
    uses: Iterable[ModelUse],
    serving: Sequence[tuple[tuple[str, ...], ServedModel]],
    access: Access | None,
    root: str,
) -> ModelDetails:
    """Return a model with who loads it; ``access`` only for those who manage it."""
    shown = model(found, root)
    same = {name: getattr(shown, name) for name in ModelShown.__struct_fields__}
    return ModelDetails(
        **same,
        access=UNSET if access is None else access,
        config=found.model.config,
        changes=[alias(row) for row in aliases],
        uses=[UseShown(service=use.service, version=use.version, ref=use.ref) for use in uses],
        serving=[
            ServingShown(
                service=", ".join(services),
                ref=served.ref,
                version=served.version,
                wanted=served.wanted,
                error=served.error,
            )
            for services, served in serving
        ],
    )


def alias(row: AliasRow) -> AliasShown:
    """Return an alias."""
    return AliasShown(
        alias=row.alias,
        version=row.number,
        changed=timestamp(row.changed),
        changed_by=row.changed_by,
    )


def version(row: ModelVersionRow, aliases: dict[str, int], own: bool, root: str) -> VersionShown:
    """Return a version; ``own`` says whether the caller's code may open it."""
    return VersionShown(
        model=row.model,
        version=row.number,
        aliases=[name for name, number in aliases.items() if number == row.number],
        format=row.format,
        flavor=row.flavor,
        size=row.size,
        signature=row.signature,
        metrics=row.metrics,
        params=row.params,
        tags=row.tags,
        lineage=row.lineage,
        note=row.note,
        author=row.author,
        origin=row.origin,
        job=row.job,
        runs_code=rules.runs_code(row.format, row.flavor),
        trusted=row.trusted,
        own=own,
        created=timestamp(row.created),
        url=root + url_path(row.model, "versions", str(row.number)),
    )


def version_details(
    row: ModelVersionRow,
    aliases: dict[str, int],
    own: bool,
    curves: Iterable[MetricPoint],
    root: str,
) -> VersionDetails:
    """Return a version with its files and learning curves."""
    shown = version(row, aliases, own, root)
    same = {name: getattr(shown, name) for name in VersionShown.__struct_fields__}
    return VersionDetails(
        **same,
        files=[
            FileShown(
                path=file.path,
                sha256=file.sha256,
                size=file.size,
                url=f"{shown.url}/files/{quote(file.path, safe='/')}",
            )
            for file in row.files
        ],
        curves=[MetricShown(name=one.name, step=one.step, value=one.value) for one in curves],
    )


def comparison(name: str, versions: list[VersionShown]) -> ModelComparison:
    """Return versions side by side."""
    return ModelComparison(
        model=name,
        versions=versions,
        metrics=rules.rows_of(one.metrics for one in versions),
        params=rules.rows_of(one.params for one in versions),
    )
