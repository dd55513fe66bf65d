"""Events, settings, topics and offsets of bridges."""

import base64
import json
import random
from typing import Any

import pytest

from easymlnb.contract.errors import (
    BadRequest,
    Busy,
    CallCancelled,
    CallFailed,
    DeadlineExceeded,
    EasyMLNBError,
    InvalidInput,
    LimitExceeded,
    NotReady,
    ServiceNotFound,
    TooLarge,
    WorkerLost,
)
from easymlnb_server.calls import cloudevents
from easymlnb_server.messaging import rules
from easymlnb_server.messaging.models import Bridge, BrokerMessage, covers, parse_bridges
from easymlnb_server.messaging.offsets import Offsets
from easymlnb_server.messaging.rules import Verdict

EVENT = {"specversion": "1.0", "id": "1234-5678", "source": "/plant", "type": "sample"}
MQTT = {"url": "mqtt://broker", "subject": "plant/+/in", "service": "f", "dead_letters": "dead"}


def message(**values: Any) -> BrokerMessage:
    common: dict[str, Any] = {"subject": "in", "body": b"{}", "content_type": "", "headers": {}}
    return BrokerMessage(**(common | values))


@pytest.mark.parametrize("prefix", ["ce-", "ce_", ""])
def test_attributes_come_with_every_prefix(prefix: str) -> None:
    headers = {f"{prefix}{name}": value for name, value in EVENT.items()} | {"x-other": "1"}
    event = rules.event_of(message(headers=headers, content_type="text/csv"), "application/json")
    assert event.attributes == EVENT
    assert (event.content_type, event.key) == ("text/csv", "/plant 1234-5678")
    assert rules.request_id(event) == "1234-5678"


def test_a_plain_message_is_no_event() -> None:
    event = rules.event_of(message(headers={"a": "b"}), "application/json")
    assert (event.attributes, event.content_type, event.body) == ({}, "application/json", b"{}")


@pytest.mark.parametrize(
    ("data", "body", "content_type"),
    [
        ({"data": {"x": 1}}, b'{"x": 1}', "application/json"),
        ({"data": "1,2", "datacontenttype": "text/csv"}, b"1,2", "text/csv"),
        ({"data_base64": base64.b64encode(b"\xff").decode(), "datacontenttype": "image/png"},
         b"\xff", "image/png"),
        ({}, b"", "application/json"),
    ],
)  # fmt: skip
def test_structured_events(data: dict[str, Any], body: bytes, content_type: str) -> None:
    document = json.dumps({**EVENT, "flag": True, **data}).encode()
    given = message(body=document, content_type="application/cloudevents+json; charset=utf-8")
    event = rules.event_of(given, "text/plain")
    assert (event.body, event.content_type) == (body, content_type)
    assert event.attributes == EVENT | {"flag": "true"}
    assert event.structured


@pytest.mark.parametrize(
    ("body", "content_type", "headers"),
    [
        (b"[]", cloudevents.STRUCTURED, {}),
        (b"{", cloudevents.STRUCTURED, {}),
        (b'{"specversion": "1.0"}', cloudevents.STRUCTURED, {}),
        (json.dumps({**EVENT, "data_base64": "?"}).encode(), cloudevents.STRUCTURED, {}),
        (json.dumps({**EVENT, "specversion": "0.3"}).encode(), cloudevents.STRUCTURED, {}),
        (json.dumps({**EVENT, "id": "a\0b"}).encode(), cloudevents.STRUCTURED, {}),
        (json.dumps({**EVENT, "id": "a" * 5000}).encode(), cloudevents.STRUCTURED, {}),
        (b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", cloudevents.STRUCTURED, {}),
        (b"[]", "application/cloudevents-batch+json", {}),
        (b"{}", "", {"ce_id": "1"}),
    ],
)
def test_broken_events_are_refused(body: bytes, content_type: str, headers: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        rules.event_of(message(body=body, content_type=content_type, headers=headers), "")


def test_answers_are_known_by_the_event_that_they_answer() -> None:
    good, bad = cloudevents.answer("f", EVENT), cloudevents.answer("f", EVENT, Busy(1, 1))
    assert (good["id"], good["type"], good["causationid"]) == (
        "1234-5678.answer", "org.easymlnb.result", "1234-5678",
    )  # fmt: skip
    assert (bad["id"], bad["type"], bad["easymlnberror"]) == (
        "1234-5678.answer", "org.easymlnb.error", "busy",
    )  # fmt: skip
    assert "causationid" not in cloudevents.answer("f", {})
    document = json.loads(cloudevents.write_structured(good, b'{"y": 2}', "application/json"))
    assert document["data"] == {"y": 2}
    binary = json.loads(cloudevents.write_structured(good, b"\xff", "image/png"))
    assert base64.b64decode(binary["data_base64"]) == b"\xff"


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Busy(1, 1), Verdict.WAIT),
        (NotReady("no"), Verdict.WAIT),
        (LimitExceeded("you", "per_day", 1, 1), Verdict.WAIT),
        (ServiceNotFound("f"), Verdict.WAIT),
        (CallFailed("no"), Verdict.RETRY),
        (CallCancelled(), Verdict.GIVE_UP),
        (WorkerLost(), Verdict.RETRY),
        (DeadlineExceeded(1.0), Verdict.RETRY),
        (EasyMLNBError("no"), Verdict.RETRY),
        (InvalidInput([{"field": "x", "message": "no"}]), Verdict.GIVE_UP),
        (TooLarge("no"), Verdict.GIVE_UP),
    ],
    ids=lambda one: getattr(one, "code", ""),
)
def test_what_becomes_of_an_error(error: EasyMLNBError, verdict: Verdict) -> None:
    assert rules.verdict(error) is verdict


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("#", "$SYS/x", False),
        ("+/b", "a/c", False),
    ],
)
def test_topics_and_filters(pattern: str, topic: str, expected: bool) -> None:
    assert covers(pattern, topic) is expected


def test_a_message_names_only_an_allowed_topic_for_its_answer() -> None:
    bridge = Bridge(**MQTT, reply="out", reply_to="replies/#")
    assert rules.reply_topic(bridge, message(reply="replies/7")) == "replies/7"
    assert rules.reply_topic(bridge, message(reply="valves/open")) == "out"
    assert rules.reply_topic(Bridge(**MQTT), message(reply="replies/7")) == ""
    assert rules.reply_topic(bridge, message(reply="replies/+")) == "out"
    for subject in ("plant/+/in", "$share/all/plant/+/in"):
        bridge = Bridge(**{**MQTT, "subject": subject}, reply="out", reply_to="plant/#")
        assert rules.reply_topic(bridge, message(reply="plant/7/in")) == "out"
        assert rules.reply_topic(bridge, message(reply="plant/7/out")) == "plant/7/out"


def test_a_pause_has_a_limit() -> None:
    assert [rules.pause(tries) for tries in (0, 1, 10, 100_000)] == [0.2, 0.4, 5.0, 5.0]


def test_a_dead_letter_has_a_reason_in_one_line() -> None:
    headers = rules.dead_headers(message(headers={"a": "b"}), BadRequest("no\n\0\tx"))
    assert (headers["a"], headers["easymlnb-message"]) == ("b", "no x")


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"url": "amqp://x"}, "url must begin"),
        ({"url": "mqtt://"}, "no host"),
        ({"url": "mqtt://x:port"}, "ort"),
        ({"dead_letters": ""}, "dead_letters is missing"),
        ({"url": "mqtt://me:secret@x"}, "set login and password_file"),
        ({"url": "mqtt://a,b"}, "one host"),
        ({"reply": "plant/7/in"}, "reply must not be a topic"),
        ({"reply": "plant/#"}, "reply must be one topic"),
        ({"subject": "$share/all/x", "dead_letters": "x"}, "dead_letters must not"),
        ({"url": "kafka://x", "subject": "x", "dead_letters": "x"}, "dead_letters must not"),
        ({"url": "kafka://x", "reply_to": "a"}, "no response topics"),
        ({"concurrency": 0}, "concurrency"),
        ({"topic": "x"}, "topic"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse_bridges({"plant": {**MQTT, **values}}, shared=False)


def test_a_bridge_without_answers_may_read_all_topics_of_one_level() -> None:
    made = Bridge(**{**MQTT, "subject": "+", "dead_letters": "all/dead"})
    assert rules.reply_topic(made, message()) == ""


def test_addresses_have_default_ports() -> None:
    assert Bridge(**MQTT).addresses == [("broker", 1883)]
    kafka = Bridge(**{**MQTT, "url": "kafkas://a:9000,b"})
    assert (kafka.addresses, kafka.encrypted) == ([("a", 9000), ("b", 9093)], True)
    with pytest.raises(ValueError, match="user is missing"):
        parse_bridges({"plant": MQTT}, shared=True)


def test_only_what_is_done_up_to_a_record_is_committed() -> None:
    chance, offsets = random.Random(3), Offsets()
    open_, finished, position = [], set(), 0
    for offset in range(0, 400, 2):  # a compacted topic has gaps
        offsets.receive(offset)
        open_.append(offset)
        while len(open_) > chance.randrange(8):
            done = open_.pop(chance.randrange(len(open_)))
            finished.add(done)
            position = offsets.finish(done) or position
            assert position <= min(open_, default=offset + 1)
            assert all(one in finished for one in range(0, position, 2))
    for done in open_:
        position = offsets.finish(done) or position
    assert position == 399
