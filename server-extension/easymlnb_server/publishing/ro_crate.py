"""A version as an RO-Crate: a Process Run Crate 0.5, written by hand.

::

    ro-crate-metadata.json
    environment.json      packages, Python, platform, git commit
    requirements.txt      the lock file, else the requirements
    executed.ipynb        the notebook as a worker executed it
    source/               the notebook and its files, as they were
    lock/                 wheels of a locked environment
"""

import hashlib
import mimetypes
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from easymlnb.contract import environment_lock
from easymlnb.contract.bundle import Bundle, Manifest
from easymlnb.contract.metadata import Metadata
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.services.responses import timestamp
from easymlnb_server.store.provenance import ProvenanceRecord

METADATA = "ro-crate-metadata.json"
ENVIRONMENT = "environment.json"
EXECUTED = "executed.ipynb"
SOURCE = "source"
CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    "https://w3id.org/ro/terms/workflow-run/context",
]
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
NOTEBOOK_TYPE = "application/x-ipynb+json"

_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*\Z")

Entity = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CrateFile:
    """A file of a crate: its path there, its digest and its size."""

    path: str
    sha256: str
    size: int


def write(
    target: BinaryIO,
    record: ProvenanceRecord,
    bundle: Bundle,
    executed: bytes | None,
    folder: Path,
    url: str,
) -> None:
    """Write the zip of a version; ``folder`` is an empty one for temporary files. It blocks.

    ``executed`` is the executed notebook, ``url`` the address of the service.
    """
    bundle.extract(folder / SOURCE)
    bundle.extract_lock(folder / "lock")
    notebook = folder / SOURCE / bundle.manifest.notebook
    notebook.write_bytes(msgspec.json.format(msgspec.json.encode(bundle.notebook), indent=1))
    if executed is not None:
        (folder / EXECUTED).write_bytes(executed)
    lock = folder / "lock" / environment_lock.REQUIREMENTS
    required = folder / environment_lock.REQUIREMENTS
    if lock.is_file():
        lock.rename(required)
    else:
        required.write_text("".join(f"{line}\n" for line in bundle.manifest.requirements))
    (folder / ENVIRONMENT).write_bytes(_environment(bundle.manifest))
    files = [_file(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()]
    crate = metadata(record, bundle.manifest, files, url)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(METADATA, msgspec.json.format(msgspec.json.encode(crate), indent=2))
        for file in files:
            archive.write(folder / file.path, file.path)


def metadata(
    record: ProvenanceRecord, manifest: Manifest, files: list[CrateFile], url: str
) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json``."""
    spec = msgspec.convert(record.spec, ServiceSpec)
    about = spec.metadata or Metadata()
    people = _people(record, spec)
    license = _license(spec.license)
    inputs = _inputs(manifest)
    graph: list[Entity] = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "about": {"@id": "./"},
        },
        _root(record, spec, about, files) | ({"license": _ref(license)} if license else {}),
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        *(_describe(file, manifest, record, about) for file in files),
        *inputs,
        _run(record, manifest, files, inputs),
        _present(
            {"@id": "#service", "@type": "SoftwareApplication"},
            name=spec.title,
            alternateName=record.service,
            softwareVersion=str(record.number),
            url=url,
        ),
        _present(
            {"@id": "#python", "@type": ["ComputerLanguage", "SoftwareApplication"]},
            name="Python",
            version=manifest.environment.python,
            operatingSystem=manifest.environment.platform,
        ),
        *people,
        *([license] if isinstance(license, dict) else []),
    ]
    return {"@context": CONTEXT, "@graph": graph}


def _root(
    record: ProvenanceRecord, spec: ServiceSpec, about: Metadata, files: list[CrateFile]
) -> Entity:
    doi = f"https://doi.org/{about.doi}" if about.doi else ""
    return _present(
        {"@id": "./", "@type": "Dataset", "conformsTo": {"@id": PROFILE}},
        name=f"{spec.title}, version {record.number}",
        description=spec.description or about.summary or spec.title,
        datePublished=timestamp(record.created),
        version=str(record.number),
        author=[{"@id": "#author"}] if spec.author else [],
        publisher={"@id": "#publisher"},
        keywords=", ".join(spec.tags),
        citation=about.citation or doi,
        identifier=doi,
        isBasedOn=about.dataset,
        codeRepository=about.source,
        about={"@id": "#service"},
        hasPart=[{"@id": file.path} for file in files],
        mentions=[{"@id": "#run"}],
    )


def _run(
    record: ProvenanceRecord, manifest: Manifest, files: list[CrateFile], inputs: list[Entity]
) -> Entity:
    """Return the execution of the notebook with its examples, in a worker."""
    notebook = f"{SOURCE}/{manifest.notebook}"
    data = [f.path for f in files if f.path.startswith(f"{SOURCE}/") and f.path != notebook]
    result = [f.path for f in files if f.path == EXECUTED]
    return _present(
        {"@id": "#run", "@type": "CreateAction"},
        name=f"Execution of {manifest.notebook} and its examples",
        instrument={"@id": notebook},
        object=[{"@id": path} for path in data] + [_ref(one) for one in inputs],
        result=[{"@id": path} for path in result],
        agent={"@id": "#publisher"},
        startTime=timestamp(record.accepted),
        endTime=timestamp(record.created),
        actionStatus={"@id": "http://schema.org/CompletedActionStatus"},
    )


def _describe(
    file: CrateFile, manifest: Manifest, record: ProvenanceRecord, about: Metadata
) -> Entity:
    kind: str | list[str] = "File"
    more: dict[str, Any] = {}
    if file.path == f"{SOURCE}/{manifest.notebook}":
        kind = ["File", "SoftwareSourceCode", "SoftwareApplication"]
        more = {
            "programmingLanguage": {"@id": "#python"},
            "softwareRequirements": {"@id": environment_lock.REQUIREMENTS},
            "softwareVersion": str(record.number),
            "codeRepository": about.source,
            "version": manifest.environment.commit,
        }
    media = NOTEBOOK_TYPE if file.path.endswith(".ipynb") else mimetypes.guess_type(file.path)[0]
    return _present(
        {"@id": file.path, "@type": kind},
        name=file.path.rpartition("/")[2],
        encodingFormat=media,
        contentSize=str(file.size),
        sha256=file.sha256,
        **more,
    )


def _inputs(manifest: Manifest) -> list[Entity]:
    """Return the data and models that the bundle does not contain."""
    return [
        _present(
            {"@id": f"#input-{number}", "@type": "CreativeWork"},
            name=path,
            description="A file that the code reads. It is not part of this crate.",
            contentSize=str(file.size),
            sha256=file.sha256,
        )
        for number, (path, file) in enumerate(manifest.environment.inputs.items(), 1)
    ]


def _people(record: ProvenanceRecord, spec: ServiceSpec) -> list[Entity]:
    found = [{"@id": "#publisher", "@type": "Person", "name": record.publisher or "unknown"}]
    if spec.author:
        found.append({"@id": "#author", "@type": "Person", "name": spec.author})
    return found


def _license(text: str) -> Entity | str:
    """Return the entity of a license that has a URL or an SPDX identifier, else its text."""
    if text.startswith(("https://", "http://")):
        return {"@id": text, "@type": "CreativeWork", "name": text}
    if _SPDX.match(text):
        return {"@id": f"https://spdx.org/licenses/{text}", "@type": "CreativeWork", "name": text}
    return text


def _ref(entity: Entity | str) -> Entity | str:
    return entity if isinstance(entity, str) else {"@id": entity["@id"]}


def _environment(manifest: Manifest) -> bytes:
    record = msgspec.to_builtins(manifest.environment) | {
        "kernel": manifest.kernel,
        "requirements": list(manifest.requirements),
        "lock": manifest.lock.id if manifest.lock is not None else None,
    }
    return msgspec.json.format(msgspec.json.encode(record), indent=2)


def _file(folder: Path, path: Path) -> CrateFile:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return CrateFile(path.relative_to(folder).as_posix(), digest, path.stat().st_size)


def _present(entity: Entity, **fields: Any) -> Entity:
    return entity | {name: value for name, value in fields.items() if value}
