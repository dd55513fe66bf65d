"""Find the service of a call: one of the notebook, or one that its code makes when it is needed."""

from collections.abc import Callable, Mapping

from easymlnb.contract.errors import EasyMLNBError, ServiceNotFound
from easymlnb.runtime.failures import to_public
from easymlnb.services.definition import Service

FIND_MORE: list[Callable[[str], Service | None]] = []
"""Find a service that the notebook does not define itself, such as that of a model."""


def find_service(
    services: Mapping[str, Service], name: str
) -> tuple[Service | None, EasyMLNBError]:
    """Return the service with a name, and why there is none."""
    found = services.get(name)
    try:
        for find in () if found is not None else FIND_MORE:
            found = found or find(name)
    except Exception as error:
        return None, to_public(error)[0]
    return found, ServiceNotFound(name)
