"""The gate in a kernel or on the command line: a notebook on disk, with its outputs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easymlnb.contract import quality
from easymlnb.contract.bundle import open_bundle
from easymlnb.contract.environment_lock import KERNEL
from easymlnb.contract.quality import QualityReport
from easymlnb.contract.spec import ServiceSpec
from easymlnb.publishing.bundle import BuiltBundle, build_bundle
from easymlnb.publishing.gate.run import Rules, check_bundle
from easymlnb.publishing.gate.settings import AuthorSettings, read_settings


@dataclass(frozen=True, slots=True)
class GateOptions:
    """Options of a local run; ``advisories`` and ``severity`` precede those of files."""

    advisories: Path | None = None
    severity: Mapping[str, str] | None = None
    strict: bool = False


def settings_of(notebook: Path, options: GateOptions) -> AuthorSettings:
    """Return the author's settings: those of files, then the options."""
    found = read_settings(notebook)
    return AuthorSettings(
        {**found.severity, **(options.severity or {})}, options.advisories or found.advisories
    )


def check_notebook(
    notebook: Path,
    options: GateOptions,
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    specs: Mapping[str, ServiceSpec] | None = None,
) -> QualityReport:
    """Check a notebook on disk with its modules; raises ``BundleRejected`` if it is none."""
    bundle = build_bundle(notebook, include=include, exclude=exclude, environment=KERNEL)
    return check_built(notebook, bundle, options, specs=specs)


def check_built(
    notebook: Path,
    bundle: BuiltBundle,
    options: GateOptions,
    *,
    specs: Mapping[str, ServiceSpec] | None = None,
) -> QualityReport:
    """Check a bundle that was built from a notebook on disk."""
    settings = settings_of(notebook, options)
    return check_bundle(
        open_bundle(bundle.data, verify=False),
        Rules(author=settings.severity, strict=options.strict),
        outputs=_cells(notebook),
        advisories=settings.advisories,
        specs=specs,
    )


def require(found: QualityReport) -> None:
    """Raise ``QualityGateFailed`` unless the report passed."""
    if not found.passed:
        raise quality.failed(found)


def _cells(notebook: Path) -> list[dict[str, Any]]:
    document = json.loads(notebook.read_bytes())
    cells = document.get("cells") if isinstance(document, dict) else None
    return cells if isinstance(cells, list) else []
