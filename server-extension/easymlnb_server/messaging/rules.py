"""How messages become calls, and what to do after errors. Pure functions."""

import re
from collections.abc import Mapping
from enum import Enum

from easymlnb.contract.errors import (
    CallCancelled,
    CallFailed,
    DeadlineExceeded,
    EasyMLNBError,
    Forbidden,
    NotLoggedIn,
    ServiceNotFound,
    VersionNotFound,
    WorkerLost,
)
from easymlnb_server.calls import cloudevents
from easymlnb_server.calls.cloudevents import CloudEvent
from easymlnb_server.messaging.models import Bridge, BrokerMessage, covers, is_topic

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
LONGEST_TEXT = 500
"""Characters of an error's message in a header."""

PREFIXES = ("ce-", "ce_")
"""Begin the names of an event's attributes; in MQTT, there may be none."""

_REQUEST_ID = re.compile(r"(?!emnb_)[A-Za-z0-9._-]{8,64}\Z")
_SETTINGS = (ServiceNotFound, VersionNotFound, Forbidden, NotLoggedIn)
_FAILURES = (CallFailed, DeadlineExceeded, WorkerLost)


class Verdict(Enum):
    """What to do after an error.

    - ``WAIT``: nothing is wrong with the message; try it again until it can run
    - ``RETRY``: try it again, but not forever
    - ``GIVE_UP``: it can never succeed
    """

    WAIT = "wait"
    RETRY = "retry"
    GIVE_UP = "give up"


def verdict(error: EasyMLNBError) -> Verdict:
    """Return what to do with a message whose call ended with an error."""
    if isinstance(error, _FAILURES):
        return Verdict.RETRY
    if isinstance(error, CallCancelled):  # somebody has stopped the call on purpose
        return Verdict.GIVE_UP
    if isinstance(error, _SETTINGS) or error.status in (429, 503):
        return Verdict.WAIT
    return Verdict.RETRY if error.status >= 500 else Verdict.GIVE_UP


def pause(tries: int) -> float:
    """Return the seconds until a message is tried again."""
    return float(min(FIRST_PAUSE * 2 ** min(tries, 10), LONGEST_PAUSE))


def attributes_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of a message's CloudEvent; empty if it is none."""
    found = {
        name[3:]: value
        for name, value in headers.items()
        if name.startswith(PREFIXES) and len(name) > len("ce-")
    }
    if not found and "specversion" in headers:
        found = {name: value for name, value in headers.items() if name.isalnum()}
    return found


def event_of(message: BrokerMessage, content_type: str) -> CloudEvent:
    """Return what a message asks for; its attributes are empty if it is no CloudEvent.

    ``content_type`` is that of messages that name none. Raises ``BadRequest``.
    """
    given = message.content_type or content_type
    if cloudevents.is_structured(given):
        return cloudevents.read_structured(message.body)
    attributes = attributes_of(message.headers)
    if not attributes:
        return CloudEvent({}, message.body, given)
    given = message.content_type or attributes.pop("datacontenttype", "") or content_type
    return cloudevents.read_binary(attributes, message.body, given)


def request_id(event: CloudEvent) -> str:
    """Return the id of an event if it can be that of a request, else ``""``."""
    id = event.attributes.get("id", "")
    return id if _REQUEST_ID.match(id) else ""


def reply_topic(bridge: Bridge, message: BrokerMessage) -> str:
    """Return the topic of the answer; a message can only request topics that the bridge allows."""
    topic = message.reply
    allowed = topic and bridge.reply_to and covers(bridge.reply_to, topic)
    if allowed and is_topic(topic) and not covers(bridge.read_filter, topic):
        return topic
    return bridge.reply


def dead_headers(message: BrokerMessage, error: EasyMLNBError) -> dict[str, str]:
    """Return the headers of a dead letter: the message's own, and why it failed."""
    return {
        **message.headers,
        "easymlnb-error": error.code,
        "easymlnb-message": " ".join(error.message.replace("\0", " ").split())[:LONGEST_TEXT],
        "easymlnb-subject": message.subject,
    }
