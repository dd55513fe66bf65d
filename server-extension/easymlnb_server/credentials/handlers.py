"""Set, list and remove the credentials of a service. No response contains a value."""

from typing import ClassVar

import msgspec
from tornado import web

from easymlnb.contract.errors import BadRequest, ServiceNotFound
from easymlnb.contract.json_values import check_keys
from easymlnb.contract.names import name_problem
from easymlnb_server.credentials.models import CredentialList, CredentialSummary, NewCredential
from easymlnb_server.credentials.rules import MAX_VALUE, check_name
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.names import GROUP, short_name
from easymlnb_server.openapi.document import JSON, Operation, done, ok

MAX_BODY = 12 * MAX_VALUE + 1024
"""Bytes of a value with every character escaped, in the JSON around it."""


def owner_of(handler: EasyHandler, name: str) -> str:
    """Return the owner of a service whose credentials the caller may manage.

    A service need not be published: its name then has to begin with the caller's own. Raises
    ``ServiceNotFound``.
    """
    services, caller = handler.state.services, handler.caller
    if caller is None:
        raise ServiceNotFound(name)
    published = handler.state.published.get(name)
    if published is not None and services.shared:
        handler.target(name, Action.MANAGE)
        return published.owner
    if not services.shared:
        _check_new_name(name)
        return services.user.name
    owner = name.rpartition("/")[0]
    if not caller.owns(owner) and owner in caller.groups:
        owner = GROUP + owner
    if not (caller.owns(owner) or caller.admin):
        raise ServiceNotFound(name)
    _check_new_name(short_name(name))
    return owner


def _check_new_name(name: str) -> None:
    if problem := name_problem(name):
        raise BadRequest(problem)


class CredentialsHandler(EasyHandler):
    """``GET services/{name}/credentials``."""

    @web.authenticated
    def get(self, name: str) -> None:
        owner_of(self, name)
        self.write_json(CredentialList(credentials=self.state.credentials.summaries(name)))


class CredentialHandler(BodyHandler):
    """``GET``, ``PUT`` and ``DELETE services/{name}/credentials/{credential}``."""

    body_method = "PUT"
    actions: ClassVar[dict[str, str]] = {"PUT": "write"}

    def body_limit(self) -> int:
        owner_of(self, self.path_args[0])
        return MAX_BODY

    @web.authenticated
    def get(self, name: str, credential: str) -> None:
        owner_of(self, name)
        self.write_json(self.state.credentials.summary(name, credential))

    @web.authenticated
    async def put(self, name: str, credential: str) -> None:
        new = _parse(self.read_body())
        # Checked again: the service may have changed while the body arrived.
        owner, caller = owner_of(self, name), self.caller
        assert caller is not None
        check_name(credential)
        store = self.state.credentials
        await store.set(name, credential, new.value, owner=owner, by=caller.name)
        await self.record("credential.set", name, owner=owner, details={"credential": credential})
        self.write_json(store.summary(name, credential))

    @web.authenticated
    async def delete(self, name: str, credential: str) -> None:
        owner = owner_of(self, name)
        await self.state.credentials.remove(name, credential)
        about = {"credential": credential}
        await self.record("credential.delete", name, owner=owner, details=about)
        self.set_status(204)
        self.finish()


def _parse(body: bytes) -> NewCredential:
    """Decode the body; no error message contains any of it."""
    try:
        new = msgspec.json.decode(body, type=NewCredential)
        check_keys(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, BadRequest):
        # From nothing: a chained error would show the body in a log.
        raise BadRequest(
            f'Send the value as JSON, {{"value": "..."}}: a text of at most {MAX_VALUE:,} '
            "characters."
        ) from None
    return new


OPERATIONS = {
    "GET /services/{name}/credentials": Operation(
        "listCredentials",
        "List the credentials of a service of yours",
        ok("Names and times, without values.", CredentialList),
    ),
    "GET /services/{name}/credentials/{credential}": Operation(
        "getCredential",
        "Describe a credential of a service of yours",
        ok("Its name and when it was set, without the value.", CredentialSummary),
    ),
    "PUT /services/{name}/credentials/{credential}": Operation(
        "setCredential",
        "Set a credential of a service of yours",
        ok("It is stored encrypted, and the service's workers have it.", CredentialSummary),
        (409, 503),
        body={JSON: NewCredential},
        description="The service need not be published yet.",
    ),
    "DELETE /services/{name}/credentials/{credential}": Operation(
        "removeCredential",
        "Remove a credential of a service of yours",
        done("It is removed, also from the service's workers."),
        (503,),
    ),
}
