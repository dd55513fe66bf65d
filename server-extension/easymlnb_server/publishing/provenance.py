"""What a version was made from, and how it differs from another one. Pure functions."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from easymlnb.contract.bundle import InputFile, Manifest
from easymlnb.contract.environment_lock import KERNEL, LOCKED
from easymlnb.contract.environment_record import Drift
from easymlnb_server.publishing.notebook_diff import CellChange, NotebookDiff
from easymlnb_server.services.responses import FullName, timestamp
from easymlnb_server.store.provenance import ProvenanceRecord

Digests = Annotated[dict[str, str], Meta(description="The SHA-256 of each file in the bundle.")]
Inputs = Annotated[
    dict[str, InputFile],
    Meta(description="Data and models that the code names outside of the bundle."),
]
Packages = Annotated[
    dict[str, str], Meta(description="Packages that the notebook needs, with dependencies.")
]
Commit = Annotated[str, Meta(description="The git commit; absent without git.")]
Dirty = Annotated[bool, Meta(description="Whether files differed from that commit.")]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Differences between two tables of names and values."""

    added: dict[str, str] = {}
    removed: dict[str, str] = {}
    changed: Annotated[
        dict[str, tuple[str, str]], Meta(description="The value before and after.")
    ] = {}

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """How two versions differ outside of the notebook."""

    files: Changes
    inputs: Changes
    packages: Changes
    settings: Annotated[Changes, Meta(description="Python, kernel, environment, commit.")]


class VersionProvenance(msgspec.Struct, frozen=True, kw_only=True):
    """Who published a version, when, from what, and where it was made."""

    service: FullName
    version: int
    bundle: str
    publisher: str
    published: Annotated[str, Meta(description="When the version was made.")]
    accepted: Annotated[str, Meta(description="When the server accepted the bundle.")]
    notebook: Annotated[str, Meta(description="The notebook's file name.")]
    executed: Annotated[
        str | UnsetType, Meta(description="The URL of the notebook as a worker executed it.")
    ] = UNSET
    kernel: str
    python: str
    platform: str
    environment: Literal["kernel", "locked"]
    lock: Annotated[str | UnsetType, Meta(description="The hash of the locked environment.")] = (
        UNSET
    )
    packages: Packages
    requirements: list[str]
    commit: Commit | UnsetType = UNSET
    dirty: Dirty | UnsetType = UNSET
    files: Digests
    inputs: Inputs
    drift: Annotated[
        Drift | UnsetType,
        Meta(description="Packages that changed since publishing; absent before a worker started."),
    ] = UNSET
    previous: Annotated[int | None, Meta(description="The version before this one.")]
    changes: Annotated[
        Differences | UnsetType, Meta(description="The difference to the previous version.")
    ] = UNSET


class VersionDiff(Differences, frozen=True, kw_only=True):
    """How two versions differ."""

    service: FullName
    before: int
    after: int
    cells: list[CellChange]
    text: Annotated[str, Meta(description="All differences for people.")]


def manifest_of(record: ProvenanceRecord) -> Manifest:
    """Return the manifest of a version's bundle."""
    return msgspec.convert(record.manifest, Manifest)


def describe(
    record: ProvenanceRecord,
    executed: str,
    previous: ProvenanceRecord | None,
    drift: Drift | UnsetType,
) -> VersionProvenance:
    """Return what a version was made from; ``executed`` is the URL of the executed notebook."""
    manifest = manifest_of(record)
    made = manifest.environment
    return VersionProvenance(
        service=record.service,
        version=record.number,
        bundle=record.bundle,
        publisher=record.publisher,
        published=timestamp(record.created),
        accepted=timestamp(record.accepted),
        notebook=manifest.notebook,
        executed=executed if record.log is not None else UNSET,
        kernel=manifest.kernel,
        python=made.python,
        platform=made.platform,
        environment=KERNEL if manifest.lock is None else LOCKED,
        lock=UNSET if manifest.lock is None else manifest.lock.id,
        packages=made.packages,
        requirements=list(manifest.requirements),
        commit=made.commit or UNSET,
        dirty=made.dirty if made.commit else UNSET,
        files=manifest.files,
        inputs=made.inputs,
        drift=drift,
        previous=None if previous is None else previous.number,
        changes=UNSET if previous is None else differences(previous, record),
    )


def differences(before: ProvenanceRecord, after: ProvenanceRecord) -> Differences:
    """Return how two versions differ outside of the notebook."""
    first, second = manifest_of(before), manifest_of(after)
    return Differences(
        files=changes(first.files, second.files),
        inputs=changes(_inputs(first), _inputs(second)),
        packages=changes(first.environment.packages, second.environment.packages),
        settings=changes(_settings(first), _settings(second)),
    )


def changes(before: dict[str, str], after: dict[str, str]) -> Changes:
    """Return what changed between two tables."""
    return Changes(
        added={name: after[name] for name in sorted(after.keys() - before.keys())},
        removed={name: before[name] for name in sorted(before.keys() - after.keys())},
        changed={
            name: (before[name], after[name])
            for name in sorted(before.keys() & after.keys())
            if before[name] != after[name]
        },
    )


def readable(before: int, after: int, found: Differences, notebook: NotebookDiff) -> str:
    """Return all differences of two versions as text."""
    parts = [f"Version {before} -> version {after}"]
    parts.append(f"Notebook\n{_indent(notebook.text or 'No cell changed.')}")
    titles = (
        ("Files", found.files, 12),
        ("Inputs outside of the bundle", found.inputs, 12),
        ("Packages", found.packages, 200),
        ("Environment", found.settings, 200),
    )
    parts += [f"{title}\n{_table(table, width)}" for title, table, width in titles if table]
    return "\n\n".join(parts) + "\n"


def _table(table: Changes, width: int) -> str:
    lines = [f"  + {name} {value[:width]}" for name, value in table.added.items()]
    lines += [f"  - {name} {value[:width]}" for name, value in table.removed.items()]
    lines += [
        f"  * {name} {old[:width]} -> {new[:width]}" for name, (old, new) in table.changed.items()
    ]
    return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.strip("\n").splitlines())


def _inputs(manifest: Manifest) -> dict[str, str]:
    found = manifest.environment.inputs
    return {path: file.sha256 or f"{file.size} bytes" for path, file in found.items()}


def _settings(manifest: Manifest) -> dict[str, str]:
    made = manifest.environment
    values: dict[str, Any] = {
        "python": made.python,
        "platform": made.platform,
        "kernel": manifest.kernel,
        "environment": KERNEL if manifest.lock is None else LOCKED,
        "lock": manifest.lock.id if manifest.lock is not None else "",
        "commit": made.commit,
        "requirements": ", ".join(manifest.requirements),
    }
    return {name: value for name, value in values.items() if value}
