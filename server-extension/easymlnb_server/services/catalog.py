"""The catalog: search and sort services, for its page and for REST."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from msgspec.structs import asdict

from easymlnb.contract.names import quoted
from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.calls.log import CallLog
from easymlnb_server.identity.access import Action, Caller
from easymlnb_server.resources import ServiceSummary, ServiceText, timestamp
from easymlnb_server.services import summaries
from easymlnb_server.services.registry import ServiceRegistry


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for; empty fields ask for nothing. All words and all tags must be there.

    ``whose`` asks for services of ``me``, the caller (``"mine"``), or of others (``"others"``).
    """

    text: str = ""
    tags: tuple[str, ...] = ()
    author: str = ""
    owner: str = ""
    whose: str = ""
    me: str = ""
    input: str = ""
    sort: str = "name"
    start: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of what fits. ``total`` counts all of it; ``next`` is where it goes on, if it does."""

    entries: list[ServiceSummary]
    total: int
    next: int | None


def entries(
    services: ServiceRegistry, calls: CallLog, caller: Caller | None
) -> list[ServiceSummary]:
    """Return all services that somebody may know of as lines of the catalog."""
    return [entry(services, calls, name, caller) for name in services.names(caller)]


def entry(
    services: ServiceRegistry, calls: CallLog, name: str, caller: Caller | None
) -> ServiceSummary:
    """Return one service's line for somebody; raises ``ServiceNotFound``."""
    spec = services.resolve(name, caller, Action.SEE).spec
    created = services.created(name)
    own = services.allows(caller, name, Action.MANAGE)
    return ServiceSummary(
        **asdict(services.named(name, caller)),
        **asdict(services.state(name, caller)),
        **asdict(services.derived(name, _read)),
        title=spec.title,
        description=spec.description,
        tags=list(spec.tags),
        author=spec.author,
        url=f"services/{quoted(name)}",
        called=(calls.last(name) or None) if own else None,
        created=timestamp(created) if created else None,
    )


def _read(spec: ServiceSpec) -> ServiceText:
    """Return what takes a while to find out, and stays the same as long as the spec does."""
    about = spec.metadata
    picture = about.thumbnail if about else ""
    tag = sha256(picture.encode()).hexdigest()[:12] if picture else ""
    return ServiceText(
        summary=(about.summary if about else "") or summaries.summary(spec.description),
        shape=summaries.shape(spec),
        inputs=summaries.inputs(spec),
        thumbnail=f"services/{quoted(spec.name)}/thumbnail?v={tag}" if picture else None,
    )


def choose(found: Iterable[ServiceSummary], query: Query) -> SearchPage:
    """Return what fits, in order."""
    fitting = [one for one in found if _fits(one, query)]
    fitting.sort(key=SORTS["name"])
    if query.sort != "name":
        fitting.sort(key=SORTS[query.sort], reverse=True)
    end = len(fitting) if query.limit is None else query.start + query.limit
    more = end if end < len(fitting) else None
    return SearchPage(fitting[query.start : end], len(fitting), more)


def offered(found: Iterable[ServiceSummary]) -> dict[str, list[str]]:
    """Return what can be chosen from: all tags, authors, owners and inputs, the commonest first."""
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in ("tags", "authors", "owners", "inputs")
    }
    for one in found:
        counts["owners"].update([one.owner])
        counts["tags"].update(one.tags)
        counts["inputs"].update(one.inputs)
        counts["authors"].update([one.author] if one.author else [])
    return {
        name: [value for value, _ in sorted(count.items(), key=lambda pair: (-pair[1], pair[0]))]
        for name, count in counts.items()
    }


SORTS: dict[str, Callable[[ServiceSummary], Any]] = {
    "name": lambda one: (one.title.casefold(), one.full_name),
    "called": lambda one: one.called or "",
    "newest": lambda one: one.created or "",
}
"""Name of an order -> its key; those but the name go from the latest to the earliest."""


def _fits(one: ServiceSummary, query: Query) -> bool:
    said = (one.full_name, one.title, one.author, one.description, one.summary)
    text = " ".join((*said, *one.tags, *one.inputs)).casefold()
    return (
        all(word in text for word in query.text.casefold().split())
        and set(query.tags) <= set(one.tags)
        and query.author in ("", one.author)
        and query.owner in ("", one.owner)
        and (not query.whose or (one.owner == query.me) == (query.whose == "mine"))
        and (not query.input or query.input in one.inputs)
    )
