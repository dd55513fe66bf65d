"""The catalog: search and sort services, for its page and for REST."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from msgspec.structs import asdict

from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.names import quoted
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.access import Action, Caller
from easymlnb_server.services import summaries
from easymlnb_server.services.described_service import DescribedService
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.services.responses import ServiceSummary, ServiceText, timestamp


@dataclass(frozen=True, slots=True)
class CatalogQuery:
    """A search. An empty field matches every service; all words and all tags must match.

    License, task and library match in any case.
    ``whose`` selects services of ``me``, the caller (``"mine"``), or of other users (``"others"``).
    """

    text: str = ""
    tags: tuple[str, ...] = ()
    author: str = ""
    owner: str = ""
    whose: str = ""
    me: str = ""
    input: str = ""
    license: str = ""
    task: str = ""
    library: str = ""
    sort: str = "name"
    start: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of matches. ``total`` counts all of them; ``next`` is the start of the next page."""

    entries: list[ServiceSummary]
    total: int
    next: int | None


BATCH = 10
"""Services whose texts are derived before others may use the event loop."""

LastCall = Callable[[str], str]
"""Service -> time of its last call, empty if there was none."""


def entries(
    services: ServiceRegistry, last_call: LastCall, caller: Caller | None
) -> list[ServiceSummary]:
    """Return the entries of all services that the caller may see."""
    return [entry(services, last_call, name, caller) for name in services.names(caller)]


def entry(
    services: ServiceRegistry, last_call: LastCall, name: str, caller: Caller | None
) -> ServiceSummary:
    """Return one service's entry; raises ``ServiceNotFound``."""
    spec = services.resolve(name, caller, Action.SEE).spec
    created = services.created(name)
    own = services.allows(caller, name, Action.MANAGE)
    return ServiceSummary(
        **asdict(services.named(name, caller)),
        **asdict(services.state(name, caller)),
        **asdict(services.derived(name, _text)),
        title=spec.title,
        description=spec.description,
        tags=list(spec.tags),
        author=spec.author,
        license=spec.license,
        url=f"services/{quoted(name)}",
        called=(last_call(name) or None) if own else None,
        created=timestamp(created) if created else None,
    )


def described(
    services: ServiceRegistry,
    last_call: LastCall,
    name: str,
    caller: Caller | None,
    address: str,
) -> DescribedService:
    """Return what metadata describe of a service; raises ``ServiceNotFound``.

    ``address`` is the URL of all routes, as the caller sees it.
    """
    target = services.resolve(name, caller, Action.SEE)
    created = services.created(name)
    thumbnail = entry(services, last_call, name, caller).thumbnail
    return DescribedService(
        target.spec,
        target.version,
        datetime.fromtimestamp(created, UTC).date().isoformat() if created else "",
        f"{address}services/{quoted(name)}/page",
        f"{address}{thumbnail}" if thumbnail else "",
    )


def _text(spec: ServiceSpec) -> ServiceText:
    """Return what only depends on the spec and takes a while to compute."""
    about = spec.metadata
    picture = about.thumbnail if about else ""
    tag = sha256(picture.encode()).hexdigest()[:12] if picture else ""
    return ServiceText(
        summary=(about.summary if about else "") or summaries.summary(spec.description),
        shape=summaries.shape(spec),
        inputs=summaries.inputs(spec),
        libraries=list(about.libraries) if about else [],
        tasks=list(about.tasks) if about else [],
        thumbnail=f"services/{quoted(spec.name)}/thumbnail?v={tag}" if picture else None,
    )


async def prepare(services: ServiceRegistry) -> None:
    """Derive the texts of all services, so that the first list does not wait for them."""
    for at, name in enumerate(services.all_names()):
        with suppress(EasyMLNBError):  # removed meanwhile
            services.derived(name, _text)
        if at % BATCH == 0:
            await asyncio.sleep(0)  # calls go first


def search(services: Iterable[ServiceSummary], query: CatalogQuery) -> SearchPage:
    """Return the matching services in order."""
    matches = [service for service in services if _matches(service, query)]
    matches.sort(key=SORTS["name"])
    if query.sort != "name":
        matches.sort(key=SORTS[query.sort], reverse=True)
    end = len(matches) if query.limit is None else query.start + query.limit
    return SearchPage(matches[query.start : end], len(matches), end if end < len(matches) else None)


def facets(services: Iterable[ServiceSummary]) -> dict[str, list[str]]:
    """Return all values of each field that a search can have, the most frequent first."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    for service in services:
        for name, values in FACETS.items():
            counts[name].update(filter(None, values(service)))
    return {
        name: sorted(count, key=lambda value: (-count[value], value))
        for name, count in counts.items()
    }


FACETS: dict[str, Callable[[ServiceSummary], Iterable[str]]] = {
    "tags": lambda service: service.tags,
    "authors": lambda service: [service.author],
    "owners": lambda service: [service.owner],
    "inputs": lambda service: service.inputs,
    "licenses": lambda service: [service.license],
    "tasks": lambda service: service.tasks,
    "libraries": lambda service: service.libraries,
}
"""Fields to choose from -> the values of a service."""

TEMPLATE = "template"
"""Tag, and start of the names, of the services behind models without code."""

SORTS: dict[str, Callable[[ServiceSummary], Any]] = {
    "name": lambda service: (service.title.casefold(), service.full_name),
    "called": lambda service: service.called or "",
    "newest": lambda service: service.created or "",
}
"""Sort order -> its key; all but the name sort from the latest to the earliest."""


def _is_internal(service: ServiceSummary, query: CatalogQuery) -> bool:
    """Return whether a service is part of a template, and nobody asks for its tag."""
    part = TEMPLATE in service.tags and service.name.startswith(f"{TEMPLATE}_")
    return part and TEMPLATE not in query.tags


def _matches(service: ServiceSummary, query: CatalogQuery) -> bool:
    if _is_internal(service, query):
        return False
    words = (*service.tags, *service.inputs, *service.libraries, *service.tasks, service.license)
    prose = (service.full_name, service.title, service.author, service.description, service.summary)
    text = " ".join((*prose, *words)).casefold()
    return (
        all(word in text for word in query.text.casefold().split())
        and set(query.tags) <= set(service.tags)
        and query.author in ("", service.author)
        and query.owner in ("", service.owner)
        and _has(query.license, [service.license])
        and _has(query.task, service.tasks)
        and _has(query.library, service.libraries)
        and (not query.whose or (service.owner == query.me) == (query.whose == "mine"))
        and (not query.input or query.input in service.inputs)
    )


def _has(wanted: str, values: Iterable[str]) -> bool:
    """Return whether a value is the wanted one, in any case; an empty one always is."""
    return not wanted or wanted.casefold() in (value.casefold() for value in values)
