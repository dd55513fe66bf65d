"""A version as an RO-Crate: a Process Run Crate whose action is the training."""

import mimetypes
from typing import Any

import msgspec

from easymlnb_server.model_registry.responses import timestamp
from easymlnb_server.publishing.ro_crate import CONTEXT, METADATA, PROFILE
from easymlnb_server.store.model_records import ModelRow, ModelVersionRow

Entity = dict[str, Any]


def extra_files(model: ModelRow, version: ModelVersionRow, url: str) -> dict[str, bytes]:
    """Return the crate's metadata and the version's description; ``url`` is that of the version."""
    described = {
        "metrics": version.metrics,
        "params": version.params,
        "signature": version.signature,
        "flavor": version.flavor,
        "lineage": version.lineage,
        "tags": version.tags,
    }
    return {
        METADATA: _json(metadata(model, version, url)),
        "model.json": _json({"format": version.format, **described}),
    }


def metadata(model: ModelRow, version: ModelVersionRow, url: str) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json``."""
    paths = [file.path for file in version.files]
    data = _data(version)
    graph: list[Entity] = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "about": {"@id": "./"},
        },
        _present(
            {"@id": "./", "@type": "Dataset", "conformsTo": {"@id": PROFILE}},
            name=f"{model.title or model.name}, version {version.number}",
            description=version.note or model.description or f"A version of {model.name}.",
            datePublished=timestamp(version.created),
            version=str(version.number),
            author={"@id": "#author"},
            identifier=url,
            keywords=", ".join(version.tags),
            hasPart=[{"@id": path} for path in (*paths, "model.json")],
            mentions=[{"@id": "#training"}],
        ),
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        {"@id": "#author", "@type": "Person", "name": version.author or "unknown"},
        {"@id": "model.json", "@type": "File", "encodingFormat": "application/json"},
        _instrument(version),
        *data,
        *(_file(version, path) for path in range(len(version.files))),
        *(
            {"@id": f"#metric-{name}", "@type": "PropertyValue", "name": name, "value": value}
            for name, value in version.metrics.items()
        ),
        _training(version, data),
    ]
    return {"@context": CONTEXT, "@graph": graph}


def _training(version: ModelVersionRow, data: list[Entity]) -> Entity:
    results = [{"@id": file.path} for file in version.files]
    results += [{"@id": f"#metric-{name}"} for name in version.metrics]
    return _present(
        {"@id": "#training", "@type": "CreateAction"},
        name=f"Training of version {version.number}" if version.job else "Saving of the model",
        instrument={"@id": "#instrument"},
        object=[{"@id": one["@id"]} for one in data],
        result=results,
        agent={"@id": "#author"},
        endTime=timestamp(version.created),
        identifier=version.job,
        actionStatus={"@id": "http://schema.org/CompletedActionStatus"},
    )


def _instrument(version: ModelVersionRow) -> Entity:
    lineage = version.lineage
    return _present(
        {"@id": "#instrument", "@type": ["SoftwareSourceCode", "SoftwareApplication"]},
        name=str(lineage.get("service") or lineage.get("notebook") or "Python"),
        softwareVersion=str(lineage.get("version") or lineage.get("easymlnb") or ""),
        identifier=str(lineage.get("bundle") or ""),
        runtimePlatform=f"Python {version.flavor.get('python', '')}".strip(),
    )


def _data(version: ModelVersionRow) -> list[Entity]:
    """Return the data of the training, which the crate does not contain."""
    given = version.lineage.get("data")
    entries = given if isinstance(given, list) else [given] if given else []
    found = []
    for number, entry in enumerate(entries, 1):
        about = entry if isinstance(entry, dict) else {"name": str(entry)}
        found.append(
            _present(
                {"@id": f"#data-{number}", "@type": "CreativeWork"},
                name=str(about.get("name") or f"Data {number}"),
                sha256=about.get("sha256"),
                url=about.get("source"),
                description="Data of the training. It is not part of this crate.",
            )
        )
    return found


def _file(version: ModelVersionRow, number: int) -> Entity:
    file = version.files[number]
    return _present(
        {"@id": file.path, "@type": "File"},
        name=file.path.rpartition("/")[2],
        encodingFormat=mimetypes.guess_type(file.path)[0] or "application/octet-stream",
        contentSize=str(file.size),
        sha256=file.sha256,
    )


def _present(entity: Entity, **fields: Any) -> Entity:
    return entity | {name: value for name, value in fields.items() if value}


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)
