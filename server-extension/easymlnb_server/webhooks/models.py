"""What webhooks and their deliveries are: rows, what callers send, and what they see."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType


class Event(StrEnum):
    """What a webhook is called for; ``job.preempted`` is a job that left its node and continues."""

    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    PREEMPTED = "job.preempted"


ENDS = (Event.SUCCEEDED, Event.FAILED, Event.CANCELLED)
TEST = "webhook.test"
"""The event that is sent on request."""


class DeliveryState(StrEnum):
    """The state of a delivery; a failed one is tried no more."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


STATES = tuple(state.value for state in DeliveryState)


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of webhooks.

    - ``service``: only jobs of this service; empty for all of the owner's jobs
    - ``url``: ``https://...``, or ``mailto:...`` for a person
    - ``secret``, ``former``: encrypted; the former one also signs until ``former_until``
    - ``disabled``: why nothing is sent; empty while it is active
    """

    id: str
    owner: str
    user: str
    service: str
    url: str
    events: tuple[Event, ...]
    secret: str = ""
    former: str = ""
    former_until: float = 0.0
    disabled: str = ""
    created: float = 0.0
    changed: float = 0.0


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the outbox.

    - ``next``: when it is tried next
    - ``status``: the status of the last response, if there was one
    - ``error``: why the last try failed
    """

    id: str
    webhook: str
    owner: str
    job: str
    event: str
    url: str
    body: str
    state: DeliveryState = DeliveryState.PENDING
    tries: int = 0
    next: float = 0.0
    status: int | None = None
    error: str = ""
    created: float = 0.0
    ended: float | None = None


MAX_URL = 500
Url = Annotated[str, Meta(max_length=MAX_URL, description="`https://...`, or `mailto:...`.")]


class WebhookRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new webhook."""

    url: Url
    events: tuple[Event, ...] = ENDS
    service: Annotated[str, Meta(description="Only jobs of this service; empty for all.")] = ""


class WebhookChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a webhook."""

    url: Url | UnsetType = UNSET
    events: tuple[Event, ...] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class WebhookShown(msgspec.Struct, kw_only=True):
    """A webhook as its owner sees it; times are seconds since 1970."""

    id: str
    url: str
    events: tuple[Event, ...]
    service: str
    disabled: Annotated[str, Meta(description="Why nothing is sent; empty while it is active.")]
    created: float
    secret: Annotated[
        str | UnsetType,
        Meta(description="The secret that signs; only in the response that creates it."),
    ] = UNSET


class WebhookList(msgspec.Struct, kw_only=True):
    """Webhooks, newest first."""

    webhooks: list[WebhookShown]


class DeliveryShown(msgspec.Struct, kw_only=True):
    """A delivery as its owner sees it; times are seconds since 1970."""

    id: Annotated[str, Meta(description="The `webhook-id` of each try, after `msg_`.")]
    webhook: Annotated[str, Meta(description="Its id; empty for the webhook of a single job.")]
    job: str
    event: str
    url: str
    state: DeliveryState
    tries: int
    next: Annotated[float | None, Meta(description="When it is tried next.")]
    status: int | None
    error: str
    created: float
    ended: float | None


class DeliveryPage(msgspec.Struct, kw_only=True):
    """A part of the list of deliveries; ``next`` is the ``start`` of the next part."""

    deliveries: list[DeliveryShown]
    next: str | None
