"""What a request is about, read from its first line and headers: a service, a bundle, a process."""

from dataclasses import dataclass
from urllib.parse import unquote

LOCAL_PARTS = ("live",)
"""What comes after a service's name where its notebook, not what is published of it, answers."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One of these is set; none means that any process answers.

    ``service`` is a full name, ``bundle`` an id, ``mark`` that of the process that knows more.
    ``call`` is the id of a call that runs nobody knows where.
    """

    service: str = ""
    bundle: str = ""
    mark: str = ""
    call: str = ""


ANY = Subject()


def read(
    method: str, path: str, service: str, authorization: str, *, owned: bool, mark: int
) -> Subject:
    """Return what a request is about.

    ``path`` is what follows our prefix, still quoted; ``service`` the query's parameter of that
    name. ``owned`` says that names begin with their owners'; a process's mark is so long.
    """
    first, *rest = path.split("/")
    if first in ("services", "apps", "public") and rest and rest[0]:
        parts = 2 if owned else 1
        name, after = "/".join(map(unquote, rest[:parts])), rest[parts:]
        return ANY if after and after[0] in LOCAL_PARTS else Subject(service=name)
    if first == "bundles" and rest and method in ("GET", "DELETE"):
        return Subject(bundle=rest[0])
    if first == "uploads":
        return Subject(mark=rest[0][:mark]) if rest and rest[0] else Subject(service=service)
    if first == "calls" and rest and method == "DELETE":
        return Subject(call=rest[0])
    if first == "link":
        return Subject(mark=authorization.rpartition(" ")[2][:mark])
    return ANY
