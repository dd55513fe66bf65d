"""``train``, ``status`` and ``predict`` as the client of the MLaaS paper calls them."""

from html import escape
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import msgspec
from jupyter_server.auth.identity import User

from easymlnb.contract.errors import BadRequest, ModelNotFound, NotLoggedIn
from easymlnb.contract.names import quoted
from easymlnb_server.http.base import EasyHandler, custom_access_check
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.identity.grants import Scope
from easymlnb_server.jobs.models import JobState
from easymlnb_server.model_templates.mlaas.limits import MAX_BODY, MAX_BODY_WITH_KEY
from easymlnb_server.model_templates.mlaas.training import MlaasTraining
from easymlnb_server.openapi.document import (
    BYTES,
    HTML,
    JSON,
    TEXT,
    Content,
    Operation,
    query_parameter,
)

PLAIN = "text/plain; charset=utf-8"


class MlaasHandler(EasyHandler):
    """Base: the key in the address, or a model that is public for training; never a cookie."""

    key_scopes: ClassVar = {"GET": (Scope.JOBS,), "POST": (Scope.JOBS,)}
    with_key = False
    """Whether the address has a key, before the model's name."""

    def initialize(self, *, with_key: bool = False) -> None:
        super().initialize()
        self.with_key = with_key

    @property
    def mlaas(self) -> MlaasTraining:
        return self.state.mlaas

    @property
    def name(self) -> str:
        """The full name of the model."""
        return self.path_args[-1]

    @property
    def base(self) -> str:
        """The address that the client has as its ``ip``."""
        key = f"k/{self.path_args[0]}" if self.with_key else "mlaas"
        return f"{self.address}{key}/{quoted(self.name)}/"

    async def _identify(self) -> Any:
        if not self.with_key or self.request.method == "OPTIONS":
            return None
        key = self.state.keys.find(self.path_args[0])
        caller = None if key is None else await self.state.keys.caller(key)
        if caller is None or not caller.key or not caller.key.matches(self.name):
            return None
        self.caller = caller
        self._token_authenticated = True
        return User(username=caller.name)

    def on_anonymous(self) -> None:
        """Accept the request: ``check_model`` decides by the model."""
        self.is_visitor = True

    async def check_model(self) -> None:
        """Raise ``NotLoggedIn`` for an invalid key, ``ModelNotFound`` unless one may train it."""
        if self.with_key and self.caller is None:
            raise NotLoggedIn
        found, config = await self.state.model_templates.get(self.name)
        if self.with_key:
            if self.caller is None or not self.caller.owns(found.model.owner):
                raise ModelNotFound(self.name)
        elif not config.public_training:
            raise ModelNotFound(self.name)

    def send_text(self, text: str, status: int = 200) -> None:
        """Send exactly this text."""
        self.set_status(status)
        self.set_header("Content-Type", PLAIN)
        self.finish(text)


class MlaasBodyHandler(MlaasHandler, BodyHandler):
    """Base of the routes that get data."""

    def body_limit(self) -> int:
        return MAX_BODY_WITH_KEY if self.with_key else MAX_BODY

    async def before_body(self) -> None:
        await self.check_model()

    def values(self) -> Any:
        """Return the body as JSON values; forms may have JSON in their fields."""
        body = self.read_body()
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        fields = parse_qsl(body.decode("utf-8", "replace"))
        if not fields:
            raise BadRequest('Send the data as JSON, such as {"x": [[1], [2]], "y": [1, 2]}.')
        return {name: _value(text) for name, text in fields}


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


class MlaasTrainHandler(MlaasBodyHandler):
    """``POST .../train``: HTML with the address of the training's status."""

    @custom_access_check
    async def post(self, *args: str) -> None:
        job = await self.mlaas.train(self.name, self.values(), visitor=not self.with_key)
        address = escape(f"{self.base}status?id={job.id}")
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(f'<html><body>The training: <a href="{address}">status</a></body></html>')


class MlaasStatusHandler(MlaasHandler):
    """``GET .../status?id=``: exactly ``true`` or ``false``.

    A failed training is 410 with ``true``, so that a client that waits for ``true`` ends.
    """

    @custom_access_check
    async def get(self, *args: str) -> None:
        await self.check_model()
        id = self.get_query_argument("id", "").rstrip('"').strip()
        state = await self.mlaas.state(self.name, id)
        if state is None:
            self.send_text("true", 404)
        elif state in (JobState.FAILED, JobState.CANCELLED):
            self.send_text("true", 410)
        else:
            self.send_text("true" if state is JobState.SUCCEEDED else "false")


class MlaasPredictHandler(MlaasBodyHandler):
    """``POST .../predict``: the predictions of the latest version, as a JSON list."""

    @custom_access_check
    async def post(self, *args: str) -> None:
        self.write_json(await self.mlaas.predict(self.name, self.values()))


def _operations(path: str, suffix: str, more: tuple[int, ...] = ()) -> dict[str, Operation]:
    body: Content = {JSON: {"type": "object"}, "application/octet-stream": BYTES}
    return {
        f"POST {path}/train": Operation(
            f"mlaasTrain{suffix}",
            "Train a model, as the client of the MLaaS paper does",
            {200: ("HTML with the address of the training's status.", HTML)},
            (409, 413, 422, 503, *more),
            tag="Models",
            body=body,
            open=True,
        ),
        f"GET {path}/status": Operation(
            f"mlaasStatus{suffix}",
            "Say whether a training has ended",
            {
                200: ("`true` or `false`.", {"text/plain": TEXT}),
                410: ("`true`: the training failed.", {"text/plain": TEXT}),
            },
            (503, *more),
            tag="Models",
            query=(query_parameter("id", "The id of the training.", TEXT, required=True),),
            open=True,
        ),
        f"POST {path}/predict": Operation(
            f"mlaasPredict{suffix}",
            "Predict with the latest version",
            {200: ("The predictions.", {JSON: {"type": "array"}})},
            (409, 413, 422, 503, *more),
            tag="Models",
            body=body,
            open=True,
        ),
    }


OPERATIONS = {
    **_operations("/mlaas/{name}", ""),
    **_operations("/k/{key}/{name}", "WithKey", (401,)),
}
