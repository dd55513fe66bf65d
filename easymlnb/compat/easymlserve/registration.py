"""Names of services and user interfaces, and what is deployed in this process."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easymlnb.contract.errors import CallerError, DefinitionError, InvalidInput
from easymlnb.contract.options import check
from easymlnb.runtime import event_loop
from easymlnb.services.decorator import attach, options_of_service
from easymlnb.services.definition import SERVICES

LONGEST = 63
"""Characters of a name."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a class is from.

    Attributes
    ----------
    name
        The class's name.
    file
        Its file; ``None`` if a cell defines it.
    folder
        The folder of the file, relative to the notebook's; empty for the notebook's own, and for
        modules of packages.
    """

    name: str
    file: Path | None = None
    folder: str = ""

    def __str__(self) -> str:
        return f"{self.name} in {str(self.file)!r}" if self.file else self.name


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployed service, and by what a user interface finds it."""

    name: str
    folder: str
    port: Any


DEPLOYED: list[Deployed] = []
"""The services of this process, in the order of their deployment."""

_ORIGINS: dict[str, Origin] = {}
_running: list[Path] = []
"""The folders of the notebook in which ``run`` executes a file, innermost last."""


def enter(folder: Path) -> None:
    """Note the folder of the notebook, which ``run`` leaves."""
    _running.append(folder)


def leave() -> None:
    """End what ``enter`` began."""
    _running.pop()


def origin_of(kind: type) -> Origin:
    """Return where a class is from."""
    file = _file_of(kind)
    if file is None:
        return Origin(kind.__qualname__)
    base = _running[0] if _running else Path.cwd()
    in_package = "." in kind.__module__
    inside = file.parent.is_relative_to(base) and file.parent != base and not in_package
    return Origin(
        kind.__qualname__, file, file.parent.relative_to(base).as_posix() if inside else ""
    )


def _file_of(kind: type) -> Path | None:
    """Return the file of a class; ``None`` for a class of a cell."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return Path(file).resolve() if file else None


def as_name(text: str) -> str:
    """Return a text as the name of a service, which may be empty."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    plain = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_").lstrip("0123456789_")
    return plain[:LONGEST].rstrip("_")


def default_name(origin: Origin, ending: str, title: str = "") -> str:
    """Return the name of a service without one: its folder, else ``title``, else its class.

    ``ending`` is the word at the end of the class's name that says nothing.
    """
    folder = as_name(origin.folder.rpartition("/")[2])
    short = origin.name.rpartition(".")[2]
    return folder or as_name(title) or as_name(short.removesuffix(ending)) or as_name(short)


def register(function: Callable[..., Any], options: dict[str, Any], origin: Origin) -> Any:
    """Make a function a service; raises ``DefinitionError`` if another class has its name."""
    check("ml.service", options, options_of_service())
    name = options["name"]
    if name in SERVICES and (other := _ORIGINS.get(name)) != origin:
        raise DefinitionError(
            f"The service name {name!r} of {origin} is already used by "
            f"{other or 'another service of this notebook'}. Pass name='...' to deploy() or run(), "
            "or move the file into a folder of its own."
        )
    made = attach(function, {key: value for key, value in options.items() if value is not None})
    _ORIGINS[name] = origin
    return made


def deployed(name: str, origin: Origin, port: Any) -> None:
    """Note a deployed service, for the user interfaces that call it."""
    DEPLOYED[:] = [one for one in DEPLOYED if one.name != name]
    DEPLOYED.append(Deployed(name, origin.folder, port))


def find(folder: str, port: Any) -> str | None:
    """Return the service that a user interface calls; ``None`` without a service.

    It is one of the same folder, if there is any. Among several, it is the one with the port, else
    the latest.
    """
    known = [one for one in reversed(DEPLOYED) if one.name in SERVICES]
    found = [one for one in known if one.folder == folder] or known
    fitting = [one for one in found if one.port == port] or found
    return fitting[0].name if fitting else None


def accepts(name: str, values: Mapping[str, Any]) -> bool:
    """Return whether a service of this process has all that it needs in ``values``."""
    return set(SERVICES[name].spec.input.get("required", ())) <= values.keys()


def call(name: str, request: Any) -> Any:
    """Call a service as ``POST process`` does, with and for JSON values.

    Raises
    ------
    CallerError
        The service does not accept the request, or refused it, for example by an
        ``HTTPException``.
    """
    from pydantic_core import from_json, to_json

    from easymlnb.calling.use import use
    from easymlnb.types import inference

    body = to_json(request, fallback=inference.to_json_value)
    service = SERVICES.get(name)
    if service is None:
        return use(name)(**from_json(body))
    try:
        values = service.schema.load_leniently(body)
    except InvalidInput as error:
        raise CallerError(error.message, details=error.details) from None
    result = event_loop.await_result(service.function(**values))
    return from_json(service.schema.dump(result))
