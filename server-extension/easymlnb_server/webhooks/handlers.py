"""The routes of webhooks and their deliveries, and their page."""

import asyncio
from datetime import UTC, datetime

from tornado import web

from easymlnb.contract.errors import BadRequest, DeliveryNotFound, Forbidden
from easymlnb.contract.json_values import decode_body
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.identity.access import Action, Caller
from easymlnb_server.jobs.handlers import job_owner
from easymlnb_server.jobs.query import whole_number
from easymlnb_server.openapi.document import (
    COUNT,
    HTML,
    JSON,
    TEXT,
    Operation,
    done,
    ok,
    query_parameter,
)
from easymlnb_server.webhooks import responses
from easymlnb_server.webhooks.manager import Webhooks
from easymlnb_server.webhooks.models import (
    STATES,
    Delivery,
    DeliveryPage,
    DeliveryShown,
    Event,
    WebhookChange,
    WebhookList,
    WebhookRequest,
    WebhookShown,
)

MAX_BODY = 2**14
MAX_LIMIT = 500
"""Maximum number of deliveries in one part of a list."""

ADVICE = (
    'Send the webhook as JSON, such as {"url": "https://hooks.example.org/jobs", '
    '"events": ["job.succeeded", "job.failed"]}'
)


class WebhookHandlerBase(EasyHandler):
    """Base of the routes of webhooks, which only their owners see. API keys cannot use them."""

    @property
    def webhooks(self) -> Webhooks:
        return self.state.webhooks

    @property
    def owner(self) -> str:
        """The key of the webhooks of the caller."""
        return job_owner(self)

    def user(self) -> Caller:
        """Return the caller, who must be logged in."""
        if self.caller is None:
            raise Forbidden("Webhooks need a login.")
        return self.caller

    async def delivery(self, id: str) -> Delivery:
        """Return a delivery of the caller; raises ``DeliveryNotFound``."""
        found = await asyncio.to_thread(self.webhooks.repository.delivery, id)
        if found.owner != self.owner:
            raise DeliveryNotFound
        return found


class WebhooksHandler(WebhookHandlerBase, BodyHandler):
    """``GET`` and ``POST webhooks``."""

    def body_limit(self) -> int:
        return MAX_BODY

    @web.authenticated
    async def get(self) -> None:
        found = await self.webhooks.find(self.owner)
        self.write_json(WebhookList(webhooks=[responses.shown(one) for one in found]))

    @web.authenticated
    async def post(self) -> None:
        request = decode_body(self.read_body(), WebhookRequest, ADVICE)
        if request.service:
            self.target(request.service, Action.SEE)
        webhook, secret = await self.webhooks.create(request, self.user(), self.owner)
        await self.record("webhook.create", webhook.id, owner=webhook.user)
        self.set_header("Location", f"{self.address}webhooks/{webhook.id}")
        self.write_json(responses.shown(webhook, secret), 201)


class WebhookHandler(WebhookHandlerBase, BodyHandler):
    """``GET``, ``PATCH`` and ``DELETE webhooks/{id}``."""

    body_method = "PATCH"

    def body_limit(self) -> int:
        return MAX_BODY

    @web.authenticated
    async def get(self, id: str) -> None:
        self.write_json(responses.shown(await self.webhooks.get(id, self.owner)))

    @web.authenticated
    async def patch(self, id: str) -> None:
        advice = 'Send what changes as JSON, such as {"events": ["job.failed"]}'
        change = decode_body(self.read_body(), WebhookChange, advice)
        webhook = await self.webhooks.change(id, self.owner, change)
        await self.record("webhook.change", id, owner=webhook.user)
        self.write_json(responses.shown(webhook))

    @web.authenticated
    async def delete(self, id: str) -> None:
        webhook = await self.webhooks.get(id, self.owner)
        await self.webhooks.remove(id, self.owner)
        await self.record("webhook.remove", id, owner=webhook.user)
        self.set_status(204)
        self.finish()


class RotateWebhookHandler(WebhookHandlerBase):
    """``POST webhooks/{id}/rotate``: a new secret."""

    @web.authenticated
    async def post(self, id: str) -> None:
        webhook, secret = await self.webhooks.rotate(id, self.owner)
        await self.record("webhook.rotate", id, owner=webhook.user)
        self.write_json(responses.shown(webhook, secret))


class TestWebhookHandler(WebhookHandlerBase):
    """``POST webhooks/{id}/test``: send a test."""

    @web.authenticated
    async def post(self, id: str) -> None:
        delivery = await self.webhooks.test(id, self.owner)
        self.write_json(responses.delivery_shown(delivery), 202)


class DeliveriesHandler(WebhookHandlerBase):
    """``GET deliveries``: what was sent to the webhooks of the caller, newest first."""

    @web.authenticated
    async def get(self) -> None:
        get = self.get_query_argument
        limit = whole_number(self, "limit", 50, 1, MAX_LIMIT)
        state = get("state", "")
        if state and state not in STATES:
            raise BadRequest(f"state must be one of {', '.join(STATES)}, not {state[:40]!r}.")
        found = await self.webhooks.deliveries(
            self.owner,
            job=get("job", ""),
            webhook=get("webhook", ""),
            state=state,
            limit=limit + 1,
            start=get("start", ""),
        )
        following = found[limit].id if len(found) > limit else None
        shown = [responses.delivery_shown(one) for one in found[:limit]]
        self.write_json(DeliveryPage(deliveries=shown, next=following))


class DeliveryHandler(WebhookHandlerBase):
    """``GET deliveries/{id}``."""

    @web.authenticated
    async def get(self, id: str) -> None:
        self.write_json(responses.delivery_shown(await self.delivery(id)))


class RetryDeliveryHandler(WebhookHandlerBase):
    """``POST deliveries/{id}/retry``: try it now."""

    @web.authenticated
    async def post(self, id: str) -> None:
        await self.delivery(id)
        self.write_json(responses.delivery_shown(await self.webhooks.retry(id)), 202)


class WebhooksPageHandler(PageHandler, WebhookHandlerBase):
    """``GET webhooks/page``: the webhooks and latest deliveries of the caller."""

    @web.authenticated
    async def get(self) -> None:
        found = await self.webhooks.find(self.owner)
        latest = await self.webhooks.deliveries(self.owner, limit=50)
        self.page(
            "webhooks.html",
            webhooks=[responses.shown(one) for one in found],
            deliveries=[responses.delivery_shown(one) for one in latest],
            events=[event.value for event in Event],
            time=_time,
        )


def _time(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


_FILTERS = (
    query_parameter("job", "Only those of this job.", TEXT),
    query_parameter("webhook", "Only those to this webhook.", TEXT),
    query_parameter("state", "Only those in this state.", {"enum": list(STATES)}),
    query_parameter("limit", "Deliveries in one part.", COUNT | {"default": 50}),
    query_parameter("start", "`next` of the part before.", TEXT),
)

OPERATIONS = {
    "GET /webhooks": Operation(
        "listWebhooks", "Your webhooks, newest first", ok("All of them.", WebhookList), (503,),
        tag="Webhooks",
    ),
    "POST /webhooks": Operation(
        "createWebhook", "Have a URL called, or mail sent, when your jobs end",
        ok("The webhook, with the secret that signs its messages.", WebhookShown, 201),
        (404, 409, 503),
        tag="Webhooks", body={JSON: WebhookRequest},
        description="Messages follow Standard Webhooks.",
    ),
    "GET /webhooks/page": Operation(
        "getWebhooksPage", "Your webhooks, for people", ok("A page.", HTML), (503,),
        tag="Webhooks",
    ),
    "GET /webhooks/{id}": Operation(
        "getWebhook", "A webhook", ok("The webhook without its secret.", WebhookShown), (503,),
        tag="Webhooks",
    ),
    "PATCH /webhooks/{id}": Operation(
        "changeWebhook", "Change a webhook", ok("The webhook.", WebhookShown), (503,),
        tag="Webhooks", body={JSON: WebhookChange},
    ),
    "DELETE /webhooks/{id}": Operation(
        "removeWebhook", "Remove a webhook", done("It is removed with its deliveries."), (503,),
        tag="Webhooks",
    ),
    "POST /webhooks/{id}/rotate": Operation(
        "rotateWebhook", "Give a webhook a new secret",
        ok("The webhook with its new secret. The former one also signs for a day.", WebhookShown),
        (400, 409, 503), tag="Webhooks",
    ),
    "POST /webhooks/{id}/test": Operation(
        "testWebhook", "Send a test to a webhook", ok("The delivery.", DeliveryShown, 202),
        (503,), tag="Webhooks",
    ),
    "GET /deliveries": Operation(
        "listDeliveries", "What was sent to your webhooks, newest first",
        ok("A part of the list.", DeliveryPage), (503,), tag="Webhooks", query=_FILTERS,
    ),
    "GET /deliveries/{id}": Operation(
        "getDelivery", "A delivery", ok("The delivery.", DeliveryShown), (503,), tag="Webhooks",
    ),
    "POST /deliveries/{id}/retry": Operation(
        "retryDelivery", "Try a delivery now", ok("The delivery.", DeliveryShown, 202), (503,),
        tag="Webhooks",
    ),
}  # fmt: skip
