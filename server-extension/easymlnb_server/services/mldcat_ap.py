"""Services as MLDCAT-AP 3.0 in JSON-LD, with the vocabularies of AI4OS. Pure functions.

The context is in the document, so that no reader has to fetch one.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from easymlnb.contract import ai4os
from easymlnb_server.services.described_service import DescribedService

MEDIA = "application/ld+json"
CONTEXT = {
    "biro": "http://purl.org/spar/biro/",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "it6": "http://data.europa.eu/it6/",
    "lpwcc": "https://linkedpaperswithcode.com/class/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
VOCABULARY = "http://w3id.org/ai4os/vocabulary"
SPDX = "https://spdx.org/licenses/"
REQUIRED = (
    *("dct:title", "dct:description", "dct:created", "it6:version"),
    *("it6:trainedOn", "it6:hasRepository"),
)
"""The properties of a model that the profile or AI4OS requires."""


def document(subject: DescribedService) -> dict[str, Any]:
    """Return the JSON-LD of one service."""
    return {"@context": CONTEXT, "@graph": [model(subject), _data_service(subject)]}


def catalog(
    subjects: Iterable[DescribedService], *, url: str, title: str, publisher: str
) -> dict[str, Any]:
    """Return the JSON-LD of a catalog of services."""
    listed = list(subjects)
    head = {
        "@id": url,
        "@type": "dcat:Catalog",
        "dct:title": title,
        "dct:description": "Notebook functions that are served by easymlnb.",
        "dct:publisher": _agent(publisher),
        "dcat:resource": [{"@id": one.url} for one in listed],
        "dcat:service": [{"@id": _endpoint(one)} for one in listed],
    }
    nodes = [node for one in listed for node in (model(one), _data_service(one))]
    return {"@context": CONTEXT, "@graph": [head, *nodes]}


def missing(subject: DescribedService) -> list[str]:
    """Return the required properties that a service lacks."""
    found = model(subject)
    return [name for name in REQUIRED if name not in found]


def model(subject: DescribedService) -> dict[str, Any]:
    """Return a service as a node of the type ``it6:MachineLearningModel``."""
    spec, about = subject.spec, subject.about
    return {
        "@id": subject.url,
        "@type": "it6:MachineLearningModel",
        "it6:version": subject.version,
    } | _present(
        {
            "dct:identifier": spec.name,
            "dct:title": spec.title,
            "it6:shortDescription": subject.summary,
            "dct:description": spec.description or subject.summary,
            "dct:created": _date(subject.created),
            "dct:modified": _date(subject.published[:10]),
            "dct:creator": _agent(spec.author) if spec.author else None,
            "dct:license": _license(spec.license),
            "dcat:keyword": list(spec.tags),
            "it6:hasRepository": _typed(about.source, "lpwcc:repository", "Source code"),
            "it6:trainedOn": _typed(about.dataset, "dcat:Dataset", "Data"),
            "it6:hasBibliographicReference": _reference(about.citation or subject.doi),
            "it6:hasMachineLearningLibrary": _concepts("library", about.libraries, ai4os.LIBRARIES),
            "it6:hasTaskType": _concepts("tasktype", about.tasks, ai4os.TASKS),
            "dct:type": _concepts("category", [ai4os.CATEGORY], [ai4os.CATEGORY]),
            "dct:relation": {"@id": _endpoint(subject)},
        }
    )


def _data_service(subject: DescribedService) -> dict[str, Any]:
    return {
        "@id": _endpoint(subject),
        "@type": "dcat:DataService",
        "dct:title": subject.spec.title,
        "dcat:endpointURL": {"@id": _endpoint(subject)},
        "dcat:landingPage": {"@id": subject.url},
    }


def _endpoint(subject: DescribedService) -> str:
    return f"{subject.url.removesuffix('/page')}/call"


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _date(day: str) -> dict[str, str] | None:
    return {"@type": "xsd:date", "@value": day} if day else None


def _agent(name: str) -> dict[str, str]:
    return {"@type": "foaf:Agent", "foaf:name": name}


def _typed(url: str, kind: str, title: str) -> dict[str, str] | None:
    if not url:
        return None
    return {"@id": url, "@type": kind, "dct:title": title, "dct:description": url}


def _license(name: str) -> dict[str, str] | None:
    """Return a license; what is not an SPDX name or an address has a title only."""
    if not name:
        return None
    found = {"@type": "dct:LicenseDocument", "dct:title": name}
    if name.startswith(("https://", "http://")):
        return {"@id": name, **found}
    plain = all(c.isalnum() or c in ".+-" for c in name) and name.isascii()
    return {"@id": f"{SPDX}{name}", **found} if plain else found


def _reference(citation: str) -> dict[str, str] | None:
    if not citation:
        return None
    kind = "biro:BibliographicReference"
    return {"@type": kind, "dct:bibliographicCitation": citation, "dct:format": "text/plain"}


def _concepts(scheme: str, names: Iterable[str], known: Iterable[str]) -> list[dict[str, str]]:
    """Return concepts of AI4OS's vocabularies; a name that is in none has a label only."""
    found = []
    for name in names:
        listed = ai4os.listed([name], known)[0]
        concept = {"@type": "skos:Concept", "skos:prefLabel": name}
        if listed != ai4os.OTHER:
            identifier = f"{VOCABULARY}/{scheme}/{listed.replace(' ', '_')}"
            concept = {"@id": identifier, "@type": "skos:Concept", "skos:prefLabel": listed}
        found.append(concept)
    return found
