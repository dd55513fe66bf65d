"""Models: who may do what with them, and their changes."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from easymlnb.contract.errors import BadRequest, EasyMLNBError, Forbidden, ModelNotFound
from easymlnb.contract.model_protocol import LoadedModel
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.identity.access import (
    PRIVATE,
    Access,
    Action,
    Caller,
    UserDirectory,
    is_allowed,
)
from easymlnb_server.identity.names import GROUP, group_of, qualified_name, short_name
from easymlnb_server.model_registry import rules
from easymlnb_server.model_registry.models import AliasChange, ModelChange, NewModel, VersionChange
from easymlnb_server.model_registry.rollout import Rollout
from easymlnb_server.model_registry.tokens import ModelTokens, WorkerIdentity
from easymlnb_server.model_registry.uploaded import read_version
from easymlnb_server.services.registry import ServiceRegistry
from easymlnb_server.store.model_records import AliasRow, ModelOverview, ModelRow, ModelVersionRow
from easymlnb_server.store.models import ANY, ModelRows
from easymlnb_server.store.store import Store

_thread = asyncio.to_thread

log = logging.getLogger("easymlnb.models")


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks for a model: a user, or a worker in the name of one.

    - ``caller``: whose rights count; ``None`` if the user is gone
    - ``owner``: whose model a short name is: the caller, or a worker's owner, who can be a group
    """

    caller: Caller | None
    owner: str


class ModelRegistry:
    """The models of a server.

    Parameters
    ----------
    services
        Says whether many users share this server.
    store
        Returns the open store; raises why it is not open.
    users
        Finds the users in whose names workers act.
    tokens
        Those with which workers read models.
    quota
        Maximum bytes of the models of one owner; 0 for no limit.
    is_template
        Says whether a bundle of an owner is a template, which serves models without depending on
        any.
    """

    def __init__(
        self,
        services: ServiceRegistry,
        store: Callable[[], Store],
        users: UserDirectory,
        tokens: ModelTokens,
        quota: int,
        is_template: Callable[[str, str], bool] = lambda bundle, owner: False,
    ) -> None:
        self.rollout = Rollout()
        self.tokens = tokens
        self._is_template = is_template
        self.quota = quota
        self._services = services
        self._store = store
        self._users = users
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def rows(self) -> ModelRows:
        """The rows of models; raises why the store is not open."""
        return self._store().models

    @property
    def store(self) -> Store:
        """The open store; raises why it is not open."""
        return self._store()

    async def close(self) -> None:
        """Tell workers of no more changes: this process no longer serves them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.rollout.close()

    # names and rights

    def full_name(self, name: str, owner: str) -> str:
        """Return a model's name with its owner, where names have owners."""
        if not self._services.shared or "/" in name:
            return name
        return qualified_name(owner, name)

    def allows(self, caller: Caller | None, model: ModelRow, action: Action) -> bool:
        """Return whether a caller may do something with a model."""
        if caller is None or caller.key is not None:
            return False
        if not self._services.shared:
            return True
        return is_allowed(caller, model.owner, access_of(model), action)

    async def find(self, name: str, caller: Caller | None, action: Action) -> ModelOverview:
        """Return a model; raises ``ModelNotFound``, also without the right."""
        found = await _thread(self.rows.get, name)
        if not self.allows(caller, found.model, action):
            raise ModelNotFound(name)
        return found

    async def visible(self, caller: Caller | None) -> list[ModelOverview]:
        """Return the models that a caller may see, by name."""
        found = await _thread(self.rows.all)
        return [one for one in found if self.allows(caller, one.model, Action.SEE)]

    def owner_of_new(self, name: str, caller: Caller | None) -> str:
        """Return the owner of a new model with this full name; raises ``Forbidden``."""
        rules.check_name(short_name(name))
        if caller is None or caller.key is not None:
            raise ModelNotFound(name)
        if not self._services.shared:
            return self._services.user.name
        owner = name.rpartition("/")[0]
        if not caller.owns(owner) and owner in caller.groups:
            owner = GROUP + owner
        if not (caller.owns(owner) or caller.admin):
            raise Forbidden(f"You cannot add models of {owner!r}. Use a name of your own.")
        return owner

    async def owner_for_version(self, name: str, caller: Caller | None) -> str:
        """Return the owner of a model that gets a version; it need not exist.

        Raises ``ModelNotFound`` or ``Forbidden``.
        """
        try:
            return (await self.find(name, caller, Action.MANAGE)).model.owner
        except ModelNotFound:
            if any(one.model.name == name for one in await _thread(self.rows.all)):
                raise
        return self.owner_of_new(name, caller)

    # models

    async def create(self, name: str, caller: Caller | None, given: NewModel) -> ModelRow:
        """Add a model without versions; raises ``NameTaken``, ``BadRequest`` or ``Forbidden``."""
        owner = self.owner_of_new(name, caller)
        model = ModelRow(
            name=name,
            owner=owner,
            title=given.title,
            description=given.description,
            tags=dict(given.tags),
        )
        return await _thread(self.rows.create, model)

    async def change(self, name: str, change: ModelChange) -> dict[str, Any]:
        """Change a model and return what changed."""
        if change.access is not UNSET and not self._services.shared:
            raise BadRequest("Only models on a Hub's shared service have access rules.")
        values: dict[str, Any] = msgspec.to_builtins(change)
        await _thread(self.rows.change, name, values)
        return values

    async def remove(self, name: str) -> None:
        """Delete a model with its versions; raises ``ModelInUse``."""
        await _thread(self.rows.remove, name)

    # versions

    async def add_version(
        self, name: str, owner: str, author: str, body: bytes | Path, *, trusted: bool
    ) -> ModelVersionRow:
        """Add the version that a zip has; raises ``BadRequest`` or ``ModelQuota``."""
        store = self._store()

        def work() -> ModelVersionRow:
            new = read_version(body, store.files, author, trusted=trusted)
            number = store.models.add_version(name, owner, new, self.quota)
            return store.models.version(name, str(number))

        added = await _thread(work)
        await self.moved(name)
        return added

    async def change_version(
        self, version: ModelVersionRow, change: VersionChange
    ) -> dict[str, Any]:
        """Change what can change of a version, and return it."""
        values: dict[str, Any] = msgspec.to_builtins(change)
        if values:
            await _thread(self.rows.change_version, version.model, version.number, values)
        return values

    async def remove_version(self, version: ModelVersionRow) -> None:
        """Delete a version; raises ``ModelInUse``."""
        await _thread(self.rows.remove_version, version.model, version.number)

    async def set_alias(self, name: str, alias: str, change: AliasChange, by: str) -> AliasRow:
        """Let an alias name a version, and tell the workers that load it.

        Raises ``AliasChanged`` or ``ModelVersionNotFound``.
        """
        rules.check_alias(alias)
        expected = ANY if change.expected is UNSET else change.expected
        row = await _thread(self.rows.set_alias, name, alias, change.version, by, expected)
        await self.moved(name)
        return row

    async def remove_alias(self, name: str, alias: str, expected: object = ANY) -> None:
        """Remove an alias; raises ``AliasNotFound``, ``AliasChanged`` or ``ModelInUse``."""
        await _thread(self.rows.remove_alias, name, alias, expected)

    def subscribe(
        self,
        link: WorkerLink,
        worker: WorkerIdentity,
        services: Callable[[], tuple[str, ...]],
        loaded: tuple[LoadedModel, ...],
    ) -> None:
        """Note what a worker has loaded, and let it load what has changed meanwhile."""
        task = asyncio.create_task(self._subscribe(link, worker, services, loaded))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _subscribe(
        self,
        link: WorkerLink,
        worker: WorkerIdentity,
        services: Callable[[], tuple[str, ...]],
        loaded: tuple[LoadedModel, ...],
    ) -> None:
        caller, token = await self.caller_of(worker), self.tokens.make(worker)
        for model, ref, version in loaded:
            try:
                await self.find(model, caller, Action.SEE)
                if not self._is_template(worker.bundle, worker.owner):
                    await _thread(self.rows.note_use, worker.bundle, model, ref)
                self.rollout.subscribe(link, services, token, ((model, ref, version),))
                await self.moved(model)
            except EasyMLNBError as error:  # deleted since, or no longer the worker's to see
                log.warning("A worker loads the model %s: %s", model, error)

    async def caller_of(self, worker: WorkerIdentity) -> Caller | None:
        """Return the user in whose name a worker acts; ``None`` if that user is gone."""
        if not self._services.shared:
            return self._services.user
        return await self._users.find(worker.account)

    async def moved(self, name: str) -> None:
        """Tell workers which versions the aliases of a model name now."""
        if not self.rollout.follows(name):
            return
        found = await _thread(self.rows.get, name)
        self.rollout.move(name, targets(found))


def targets(found: ModelOverview) -> Mapping[str, int]:
    """Return the versions that the aliases of a model name, with that of ``latest``."""
    latest = {"latest": found.latest} if found.latest is not None else {}
    return {**found.aliases, **latest}


def access_of(model: ModelRow) -> Access:
    """Return who may load a model besides its owner."""
    return msgspec.convert(model.access, Access) if model.access is not None else PRIVATE


def may_open(requester: Requester, model: ModelRow, version: ModelVersionRow) -> bool:
    """Return whether the requester's code may open a version although it can run code.

    Its owner has to trust it. A group's version is opened by the code of its author only.
    """
    caller = requester.caller
    if caller is None or not version.trusted:
        return False
    return caller.owns(version.author) or (
        group_of(model.owner) is None and caller.owns(model.owner)
    )
