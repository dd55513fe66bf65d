"""The base of the routes of models: who asks, and which model."""

from typing import Any

from jupyter_server.auth.identity import User

from easymlnb.contract.errors import NotLoggedIn
from easymlnb.contract.model_names import check
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.model_registry.manager import ModelRegistry, Requester, may_open
from easymlnb_server.model_registry.tokens import WorkerIdentity
from easymlnb_server.store.model_records import ModelOverview, ModelVersionRow

WORKER_SCHEME = "easymlnb"
"""The scheme of a worker's ``Authorization``, with the secret of its link or a token."""

OWN = "~/"
"""In place of an owner: that of the request, who is a user, or the owner of a worker."""


class ModelHandlerBase(EasyHandler):
    """Base of the routes of models. Workers use them in the name of their account."""

    worker: WorkerIdentity | None = None

    @property
    def models(self) -> ModelRegistry:
        return self.state.models

    @property
    def requester(self) -> Requester:
        """Who asks; a worker's short names are those of its owner."""
        caller = self.caller
        if self.worker is not None:
            return Requester(caller, self.worker.owner)
        return Requester(caller, caller.name if caller is not None else "")

    async def _identify(self) -> Any:
        scheme, _, text = self.request.headers.get("Authorization", "").partition(" ")
        if scheme != WORKER_SCHEME:
            return await super()._identify()
        expected = self.state.registration.peek(text)
        worker = self.worker = (
            WorkerIdentity(expected.owner, expected.account, expected.bundle)
            if expected is not None
            else self.models.tokens.find(text)
        )
        if worker is None:
            raise NotLoggedIn
        self.caller = await self.models.caller_of(worker)
        if self.caller is None:
            raise NotLoggedIn
        # Without a cookie, no other site can have sent this request for the worker.
        self._token_authenticated = True
        return User(username=self.caller.name)

    def full_name(self, name: str) -> str:
        """Return a model's full name; raises ``ModelNotFound`` for an invalid one."""
        check(name.removeprefix(OWN))
        return self.models.full_name(name.removeprefix(OWN), self.requester.owner)

    async def found(self, name: str, action: Action = Action.SEE) -> ModelOverview:
        """Return a model; raises ``ModelNotFound``, also without the right for the action."""
        return await self.models.find(self.full_name(name), self.caller, action)

    def opens(self, model: ModelOverview, version: ModelVersionRow) -> bool:
        """Return whether the caller's code may open a version although it can run code."""
        return may_open(self.requester, model.model, version)
