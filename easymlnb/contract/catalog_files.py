"""Read the files of other catalogs: AI4OS v2, DEEP v1, MLDCAT-AP and schema.org.

The result are fields of ``contract.metadata``. What cannot be used is left out, with a reason.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from easymlnb.contract import ai4os, metadata
from easymlnb.contract.errors import BadRequest
from easymlnb.contract.metadata import Problem

MB = 2**20
UNKNOWN = (
    "The file is not metadata of AI4OS (v2), DEEP (v1), MLDCAT-AP or schema.org: it has neither "
    "metadata_version, links, date_creation, sources nor @context."
)
MODEL = "MachineLearningModel"
_SPDX = re.compile(r"https?://spdx\.org/licenses/([A-Za-z0-9.+-]+?)(?:\.html|\.json)?\Z")

Fields = dict[str, Any]


def read(document: Any) -> tuple[Fields, list[Problem]]:
    """Return the fields of a parsed file, and those that cannot be used with the reasons.

    Raises ``BadRequest`` for a document of another kind.
    """
    if not isinstance(document, Mapping):
        raise BadRequest("The file has no fields: it must be a JSON or YAML object.")
    found = {name: value for name, value in _reader(document)(document).items() if value}
    fields: Fields = {}
    problems: list[Problem] = []
    for name, value in found.items():
        valid, wrong = metadata.read({name: value}, only=metadata.NAMES)
        fields |= valid
        problems += wrong
    return fields, [*problems, *_other_version(document)]


def _other_version(document: Mapping[str, Any]) -> list[Problem]:
    """Return a problem for a file of AI4OS in a version whose fields may mean something else."""
    version = document.get("metadata_version", ai4os.VERSION)
    if str(version).startswith(f"{ai4os.VERSION.partition('.')[0]}."):
        return []
    text = (
        f"Version {str(version)[:20]!r} is not known and read as AI4OS {ai4os.VERSION}. Check the "
        "fields."
    )
    return [Problem("metadata_version", text)]


def decorator_options(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as arguments of ``ml.service``."""
    own = {name: value for name, value in fields.items() if name not in metadata.EXTRA}
    more = {name: value for name, value in fields.items() if name in metadata.EXTRA}
    return own | ({"metadata": more} if more else {})


def _reader(document: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Fields]:
    context = document.get("@context")
    if isinstance(context, str) and "schema.org" in context:
        return _of_schema_org
    if "metadata_version" in document or isinstance(document.get("links"), Mapping):
        return _of_ai4os
    if context is not None or "@graph" in document or "@type" in document:
        return _of_mldcat_ap
    if {"date_creation", "sources"} & document.keys():
        return _of_deep
    raise BadRequest(UNKNOWN)


def _of_ai4os(document: Mapping[str, Any]) -> Fields:
    links, dates = (_mapping(document.get(key)) for key in ("links", "dates"))
    needs = _mapping(_mapping(document.get("resources")).get("inference"))
    names = ("title", "summary", "description", "doi", "license", "tags")
    # In JSON-LD, AI4OS writes the names of concepts.
    linked = "@context" in document
    return {name: document.get(name) for name in names} | {
        "source": links.get("source_code"),
        "documentation": links.get("documentation"),
        "dataset": links.get("dataset"),
        "citation": links.get("citation"),
        "doi": document.get("doi") or links.get("zenodo_doi"),
        "date": dates.get("created"),
        "libraries": _known(document.get("libraries"), linked=linked),
        "tasks": _known(document.get("tasks"), linked=linked),
        "resources": _resources(needs),
    }


def _of_deep(document: Mapping[str, Any]) -> Fields:
    description = document.get("description")
    if isinstance(description, list):
        description = "\n".join(one for one in description if isinstance(one, str))
    return {
        "title": document.get("title"),
        "summary": document.get("summary"),
        "description": description,
        "license": document.get("license"),
        "tags": document.get("keywords"),
        "date": document.get("date_creation"),
        "citation": document.get("cite_url"),
        "dataset": document.get("dataset_url"),
        "source": _mapping(document.get("sources")).get("code"),
    }


def _of_schema_org(document: Mapping[str, Any]) -> Fields:
    keywords = document.get("keywords")
    if isinstance(keywords, str):
        keywords = [word.strip() for word in keywords.split(",") if word.strip()]
    return {
        "title": document.get("name"),
        "summary": document.get("description"),
        "author": _mapping(document.get("author")).get("name"),
        "license": _license(document.get("license")),
        "tags": keywords,
        "date": document.get("dateCreated"),
        "doi": document.get("identifier"),
        "citation": document.get("citation"),
        "dataset": document.get("isBasedOn"),
        "documentation": document.get("softwareHelp"),
    }


def _of_mldcat_ap(document: Mapping[str, Any]) -> Fields:
    nodes = document.get("@graph")
    listed = nodes if isinstance(nodes, list) else [document]
    named = [_named(node) for node in listed if isinstance(node, Mapping)]
    model = next((node for node in named if _has_type(node, MODEL)), None)
    if model is None:
        raise BadRequest(f"The JSON-LD has no node of the type it6:{MODEL}.")
    reference = _named(_first(model.get("hasBibliographicReference")))
    citation = _text(reference.get("bibliographicCitation")) if reference else ""
    return {
        "title": _text(model.get("title")),
        "summary": _text(model.get("shortDescription")),
        "description": _text(model.get("description")),
        "author": _text(_named(_first(model.get("creator"))).get("name")),
        "license": _license(_address(model.get("license")) or _text(model.get("license"))),
        "tags": [_text(one) for one in _list(model.get("keyword"))],
        "date": _text(model.get("created"))[:10],
        "citation": citation or _address(model.get("hasBibliographicReference")),
        "dataset": _address(model.get("trainedOn")),
        "source": _address(model.get("hasRepository")),
        "libraries": _concepts(model.get("hasMachineLearningLibrary")),
        "tasks": _concepts(model.get("hasTaskType")),
    }


def _named(node: Any) -> dict[str, Any]:
    """Return a node with the local names of its properties: ``dct:title`` is ``title``."""
    if not isinstance(node, Mapping):
        return {}
    return {_local(str(key)): value for key, value in node.items()}


def _local(name: str) -> str:
    """Return a name without the prefix or the address of its vocabulary."""
    return re.split("[/#:]", name)[-1]


def _has_type(node: Mapping[str, Any], wanted: str) -> bool:
    kinds = _list(node.get("@type", node.get("type")))
    return any(isinstance(kind, str) and _local(kind) == wanted for kind in kinds)


def _concepts(value: Any) -> list[str]:
    """Return names of concepts: their labels, or the ends of their addresses."""
    found = []
    for one in _list(value):
        node = _named(one)
        label = _text(node.get("prefLabel")) or _text(node.get("title"))
        end = (_address(one) or _text(one)).rstrip("/").rpartition("/")[2]
        found.append(label or end.replace("_", " "))
    return list(_known(found))


def _known(value: Any, *, linked: bool = False) -> Any:
    """Return a list without ``Other``, which says nothing; ``linked`` names have no blanks."""
    if not isinstance(value, list):
        return value
    named = [one.replace("_", " ") if linked and isinstance(one, str) else one for one in value]
    return [one for one in named if one not in (ai4os.OTHER, "")]


def _resources(needs: Mapping[str, Any]) -> Fields:
    sizes = {"memory": "memory_MB", "gpu_memory": "gpu_memory_MB", "storage": "storage_MB"}
    found = {name: needs.get(name) for name in ("cpu", "gpu")}
    for name, key in sizes.items():
        amount = needs.get(key)
        found[name] = amount * MB if type(amount) is int and amount >= 0 else amount
    return {name: value for name, value in found.items() if value}


def _license(value: Any) -> Any:
    """Return the SPDX name in an address, else the value."""
    match = _SPDX.match(value) if isinstance(value, str) else None
    return match[1] if match else value


def _text(value: Any) -> str:
    one = _first(value)
    if isinstance(one, Mapping):
        one = one.get("@value")
    return one if isinstance(one, str) else ""


def _address(value: Any) -> str:
    one = _first(value)
    if isinstance(one, Mapping):
        one = one.get("@id", one.get("uri"))
    return one if isinstance(one, str) and one.startswith(("https://", "http://")) else ""


def _first(value: Any) -> Any:
    listed = _list(value)
    return listed[0] if listed else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
