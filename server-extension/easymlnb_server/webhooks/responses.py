"""What owners see of webhooks and deliveries."""

from msgspec import UNSET

from easymlnb_server.webhooks.models import (
    Delivery,
    DeliveryShown,
    DeliveryState,
    Webhook,
    WebhookShown,
)


def shown(webhook: Webhook, secret: str = "") -> WebhookShown:
    """Return a webhook as its owner sees it, with its secret if that is new."""
    return WebhookShown(
        id=webhook.id,
        url=webhook.url,
        events=webhook.events,
        service=webhook.service,
        disabled=webhook.disabled,
        created=webhook.created,
        secret=secret or UNSET,
    )


def delivery_shown(delivery: Delivery) -> DeliveryShown:
    """Return a delivery as its owner sees it."""
    pending = delivery.state is DeliveryState.PENDING
    return DeliveryShown(
        id=delivery.id,
        webhook=delivery.webhook,
        job=delivery.job,
        event=delivery.event,
        url=delivery.url,
        state=delivery.state,
        tries=delivery.tries,
        next=delivery.next if pending else None,
        status=delivery.status,
        error=delivery.error,
        created=delivery.created,
        ended=delivery.ended,
    )
