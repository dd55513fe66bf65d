"""The rows of webhooks, and the outbox of their deliveries."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Select, delete, func, insert, select, update

from easymlnb.contract.errors import DeliveryNotFound, WebhookNotFound
from easymlnb_server.jobs.models import Job, new_id
from easymlnb_server.jobs.rows import get_row
from easymlnb_server.jobs.rules import Change
from easymlnb_server.store.database import Repository, reading, writing
from easymlnb_server.store.owned_rows import add_owned
from easymlnb_server.store.tables import deliveries, webhooks
from easymlnb_server.webhooks import rules
from easymlnb_server.webhooks.models import Delivery, DeliveryState, Event, Webhook

T = TypeVar("T")


class DeliveryOutbox:
    """Fills the outbox in the transaction that ends a job: an ``OnOutcome`` of jobs.

    Parameters
    ----------
    url
        Returns the URL of all routes, for links.
    filled
        Runs after a delivery was added, before the transaction is committed.
    """

    def __init__(
        self, url: Callable[[], str], filled: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self._url = url
        self._filled = filled
        self._clock = clock

    def __call__(self, connection: Connection, job: Job, change: Change) -> None:
        """Add a delivery for each webhook that wants to know what happened."""
        event = rules.event_of(job, change)
        if event is None:
            return
        found = _interested(connection, job, event)
        if event in job.options.webhook_events:
            found.append(of_job(job))
        if not found:
            return
        now = self._clock()
        body = rules.body(event, job, f"{self._url()}jobs/{job.id}", now)
        for webhook in found:
            delivery = new_delivery(webhook, job.id, event, body, now)
            connection.execute(insert(deliveries), msgspec.to_builtins(delivery))
        self._filled()


def new_delivery(webhook: Webhook, job: str, event: str, body: str, now: float) -> Delivery:
    """Return a delivery that is due now."""
    return Delivery(
        id=new_id(now),
        webhook=webhook.id,
        owner=webhook.owner,
        job=job,
        event=event,
        url=webhook.url,
        body=body,
        next=now,
        created=now,
    )


def of_job(job: Job) -> Webhook:
    """Return the webhook of a single job, which has no row and no id."""
    options = job.options
    return Webhook(
        id="",
        owner=job.owner,
        user=options.user,
        service=job.service,
        url=options.webhook,
        events=tuple(Event(name) for name in options.webhook_events),
        secret=options.webhook_secret,
    )


class WebhookRepository(Repository):
    """Reads and writes webhooks and deliveries. Methods block: call them in a thread."""

    @writing
    def add(self, connection: Connection, webhook: Webhook, most: int) -> bool:
        """Add a webhook; ``False`` if its owner has ``most`` already."""
        return add_owned(connection, webhooks, msgspec.to_builtins(webhook), most)

    @reading
    def get(self, connection: Connection, id: str) -> Webhook:
        """Return a webhook; raises ``WebhookNotFound``."""
        return _webhook(connection, id)

    @reading
    def of_delivery(self, connection: Connection, delivery: Delivery) -> Webhook:
        """Return the webhook of a delivery; raises ``WebhookNotFound`` or ``JobNotFound``."""
        if delivery.webhook:
            return _webhook(connection, delivery.webhook)
        return of_job(get_row(connection, delivery.job))

    @reading
    def find(self, connection: Connection, owner: str | None = None) -> list[Webhook]:
        """Return the webhooks of an owner, or all, newest first."""
        query = select(webhooks).order_by(webhooks.c.id.desc())
        if owner is not None:
            query = query.where(webhooks.c.owner == owner)
        return _read(connection, query, Webhook)

    @writing
    def change(self, connection: Connection, id: str, values: Mapping[str, Any]) -> Webhook:
        """Change columns of a webhook, and return it; raises ``WebhookNotFound``."""
        connection.execute(update(webhooks).where(webhooks.c.id == id).values(**values))
        return _webhook(connection, id)

    @writing
    def remove(self, connection: Connection, id: str) -> None:
        """Delete a webhook with its deliveries."""
        connection.execute(delete(deliveries).where(deliveries.c.webhook == id))
        connection.execute(delete(webhooks).where(webhooks.c.id == id))

    @writing
    def add_delivery(self, connection: Connection, delivery: Delivery) -> None:
        """Add a delivery to the outbox, once."""
        same = select(deliveries.c.id).where(deliveries.c.id == delivery.id)
        if connection.scalar(same) is None:
            connection.execute(insert(deliveries), msgspec.to_builtins(delivery))

    @reading
    def due(
        self, connection: Connection, now: float, limit: int, skip: Collection[str] = ()
    ) -> list[Delivery]:
        """Return deliveries whose next try has come, except ``skip``, the longest due first."""
        pending = (deliveries.c.state == DeliveryState.PENDING) & (deliveries.c.next <= now)
        query = select(deliveries).where(pending, deliveries.c.id.not_in(skip))
        return _read(connection, query.order_by(deliveries.c.next).limit(limit), Delivery)

    @reading
    def next(self, connection: Connection) -> float | None:
        """Return the time of the next try of all deliveries."""
        pending = deliveries.c.state == DeliveryState.PENDING
        found: float | None = connection.scalar(select(func.min(deliveries.c.next)).where(pending))
        return found

    @writing
    def finish(self, connection: Connection, delivery: Delivery, values: Mapping[str, Any]) -> None:
        """Write how a try of a delivery ended."""
        same = (deliveries.c.id == delivery.id) & (deliveries.c.tries == delivery.tries)
        connection.execute(update(deliveries).where(same).values(**values))

    @reading
    def deliveries(
        self,
        connection: Connection,
        *,
        owner: str | None,
        job: str = "",
        webhook: str = "",
        state: str = "",
        limit: int = 50,
        start: str = "",
    ) -> list[Delivery]:
        """Return deliveries, newest first; ``start`` is the id of the first."""
        query = select(deliveries).order_by(deliveries.c.id.desc()).limit(limit)
        if owner is not None:
            query = query.where(deliveries.c.owner == owner)
        for column, value in (("job", job), ("webhook", webhook), ("state", state)):
            if value:
                query = query.where(deliveries.c[column] == value)
        if start:
            query = query.where(deliveries.c.id <= start)
        return _read(connection, query, Delivery)

    @reading
    def delivery(self, connection: Connection, id: str) -> Delivery:
        """Return a delivery; raises ``DeliveryNotFound``."""
        return _delivery(connection, id)

    @writing
    def retry(self, connection: Connection, id: str, now: float) -> Delivery:
        """Have a delivery that did not arrive tried now; raises ``DeliveryNotFound``."""
        values = {"state": DeliveryState.PENDING, "next": now, "ended": None}
        missing = deliveries.c.state != DeliveryState.DELIVERED
        connection.execute(
            update(deliveries).where(deliveries.c.id == id, missing).values(**values)
        )
        return _delivery(connection, id)

    @writing
    def remove_old(self, connection: Connection, before: float) -> int:
        """Delete the deliveries that ended before a time; return how many."""
        old = deliveries.c.ended < before
        found = list(connection.execute(select(deliveries.c.id).where(old)).scalars())
        connection.execute(delete(deliveries).where(old))
        return len(found)


def _interested(connection: Connection, job: Job, event: Event) -> list[Webhook]:
    """Return the active webhooks for an event of a job."""
    own = (webhooks.c.owner == job.owner) & (webhooks.c.disabled == "")
    own &= webhooks.c.service.in_(("", job.service))
    found = _read(connection, select(webhooks).where(own), Webhook)
    return [webhook for webhook in found if event in webhook.events]


def _webhook(connection: Connection, id: str) -> Webhook:
    found = _read(connection, select(webhooks).where(webhooks.c.id == id), Webhook)
    if not found:
        raise WebhookNotFound
    return found[0]


def _delivery(connection: Connection, id: str) -> Delivery:
    found = _read(connection, select(deliveries).where(deliveries.c.id == id), Delivery)
    if not found:
        raise DeliveryNotFound
    return found[0]


def _read(connection: Connection, query: Select[Any], kind: type[T]) -> list[T]:
    result = connection.execute(query)
    # The keys of a row may be of a subclass of ``str``, which msgspec does not accept.
    names = [str(name) for name in result.keys()]  # noqa: SIM118 - a result is no mapping
    return [msgspec.convert(dict(zip(names, row, strict=True)), kind) for row in result]
