"""The webhook of a single job, as the headers of its request ask for it. Pure functions."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from easymlnb.contract.errors import BadRequest
from easymlnb_server.webhooks.models import ENDS, MAX_URL, Event
from easymlnb_server.webhooks.signing import PREFIX

URL, EVENTS = "X-Easymlnb-Webhook", "X-Easymlnb-Webhook-Events"
SECRET = "X-Easymlnb-Webhook-Secret"

SECRET_BYTES = range(24, 65)
"""Lengths of secrets that Standard Webhooks allows."""


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """What a request asks for; ``secret`` is empty for a new one."""

    url: str
    events: tuple[str, ...]
    secret: str


def parse(headers: Mapping[str, str]) -> WebhookOptions | None:
    """Return the webhook that headers ask for, if they do; raises ``BadRequest``."""
    url, secret = headers.get(URL, "").strip(), headers.get(SECRET, "").strip()
    if not url:
        if secret or EVENTS in headers:
            raise BadRequest(f"{EVENTS} and {SECRET} need {URL}, the URL to call.")
        return None
    if len(url) > MAX_URL:
        raise BadRequest(f"{URL} must have at most {MAX_URL} characters, not {len(url)}.")
    if secret and not _is_secret(secret):
        raise BadRequest(
            f"{SECRET} must be '{PREFIX}' and 24 to 64 bytes in base64, as Standard Webhooks "
            "defines it. Without it, the response has a new one."
        )
    return WebhookOptions(url, _events(headers.get(EVENTS, "")), secret)


def _events(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in list(Event)]
    if unknown:
        raise BadRequest(f"{EVENTS} has {unknown[0][:40]!r}; events are {', '.join(Event)}.")
    return tuple(dict.fromkeys(names)) or tuple(ENDS)


def _is_secret(text: str) -> bool:
    try:
        data = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return text.startswith(PREFIX) and len(data) in SECRET_BYTES
