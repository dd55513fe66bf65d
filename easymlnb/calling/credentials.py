"""``ml.credential("DB")``: the value of a credential that is stored on the server."""

import json
from typing import Any

from easymlnb.calling.link_call import link_transport
from easymlnb.contract.errors import CredentialNotFound
from easymlnb.contract.options import named_options
from easymlnb.contract.worker_protocol import GetCredential
from easymlnb.runtime import environment
from easymlnb.runtime.context import CURRENT_CALL
from easymlnb.runtime.credentials import CREDENTIALS
from easymlnb.runtime.link_requests import REQUESTS, LinkTransport, PendingRequest


class CredentialValue(str):
    """A text that a cell does not show as its result."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<credential>"


@named_options
def credential(name: str, *, service: str = "") -> str:
    """Return the current value of a credential of the service.

    Read it where you use it: after a change, the next call gets the new value.

    Parameters
    ----------
    name : str
        The credential's name, such as ``"DB"``.
    service : str, optional
        The service that has it. Default: the service of the running call; outside of a call, the
        service of this notebook that has a credential with this name.

    Returns
    -------
    str
        The value. ``repr`` hides it, so that a cell does not show it as its result.

    Raises
    ------
    CredentialNotFound
        It is not set; the message says how to set it.
    """
    if not isinstance(name, str):
        raise TypeError(f"The name of a credential is a text such as 'DB', not {name!r:.80}.")
    context = CURRENT_CALL.get()
    calling = context.call.service if context is not None else ""
    if environment.in_worker():
        return CredentialValue(_received(name, service, calling))
    transport = link_transport()
    if transport is None:
        raise CredentialNotFound(
            f"The credential {name!r} is stored on a server, and this process has none. Run the "
            "code in a notebook of a Jupyter server with easymlnb, or publish it."
        )
    value = _ask(transport, GetCredential(id=0, name=name, service=service, calling=calling))
    CREDENTIALS.add_masked(iter([value]))
    return CredentialValue(value)


def _received(name: str, service: str, calling: str) -> str:
    """Return a value that the server has sent to this worker."""
    found = CREDENTIALS.having(name)
    if chosen := service or (calling if calling in found else ""):
        found = {one: value for one, value in found.items() if one == chosen}
    if not found:
        raise CredentialNotFound(missing(name, service or calling))
    if len({*found.values()}) > 1:
        raise CredentialNotFound(ambiguous(name, sorted(found)))
    owner, value = next(iter(found.items()))
    if value is None:
        raise CredentialNotFound(
            f"The server cannot decrypt the credential {name!r} of {owner!r}: its key has changed. "
            f"Set it again: easymlnb credentials set {owner} {name}"
        )
    return value


def missing(name: str, service: str) -> str:
    """Return what to do about a credential that is not set."""
    return (
        f"The credential {name!r} is not set{f' for {service!r}' if service else ''}. Set it: "
        f"easymlnb credentials set {service or 'SERVICE'} {name}"
    )


def ambiguous(name: str, services: list[str]) -> str:
    """Return what to do if services of one notebook have different values under one name."""
    return (
        f"The credential {name!r} has different values for {', '.join(services)}. Say which one: "
        f"ml.credential({name!r}, service={services[0]!r})"
    )


def _ask(transport: LinkTransport, message: GetCredential) -> str:
    """Ask the server of an author's kernel."""
    request = REQUESTS.begin()
    message.id = request.number
    transport.send(message, b"")
    try:
        value: Any = json.loads(bytes(_wait(transport, request)))
    finally:
        REQUESTS.forget(request)
    return str(value)


def _wait(transport: LinkTransport, request: PendingRequest) -> Any:
    while not request.done():
        transport.wait(request)
    return request.result().body
