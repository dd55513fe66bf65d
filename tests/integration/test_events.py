"""Messages of real brokers and files of a real folder, through kills of the server."""

import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import easymlnb as ml
from easymlnb.cli.app import app
from support.brokers import Device, MockKafka, Mosquitto, mosquitto
from support.notebooks import make_notebook
from support.server import RunningServer, free_port

pytestmark = pytest.mark.slow

SOURCE = """
import time
import easymlnb as ml

@ml.service(idempotent=True)
def double(x: float) -> float:
    time.sleep(0.05)
    return 2 * x

@ml.service(idempotent=True)
def lines(data: ml.File, least: int = 0) -> dict:
    text = data.data.decode()
    if "bad" in text:
        raise ml.CallerError("The file is bad.")
    time.sleep(0.3)
    return {"name": data.name, "lines": len(text.splitlines()), "least": least}
"""

EVENT = {"specversion": "1.0", "source": "/plant/7", "type": "sample"}


@dataclass
class World:
    server: RunningServer
    broker: Mosquitto
    kafka: MockKafka
    inbox: Path

    def bridge(self, name: str) -> dict[str, Any]:
        return dict(self.server.http.get(f"bridges/{name}").json())

    def until(self, done: Callable[[], Any], what: str) -> Any:
        return self.server.wait_for(done, what)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("events")
    inbox, state = folder / "inbox", folder / "mosquitto"
    inbox.mkdir()
    state.mkdir()
    with mosquitto(state) as broker:
        kafka = MockKafka("samples", "results", "dead")
        settings = {
            "bridges": {
                "plant": {
                    "url": broker.url, "subject": "plant/+/in", "service": "double",
                    "reply": "plant/results", "reply_to": "devices/#", "dead_letters": "dead",
                },
                "stream": {
                    "url": f"kafka://{kafka.address}", "subject": "samples", "service": "double",
                    "reply": "results", "dead_letters": "dead",
                },
                "away": {
                    "url": f"mqtt://127.0.0.1:{free_port()}", "subject": "a", "service": "double",
                    "dead_letters": "dead",
                },
            },
            "storage_events": {
                "scans": {
                    "folder": str(inbox), "pattern": "*.txt", "service": "lines",
                    "inputs": {"least": 2}, "settle": 0.3,
                },
            },
        }  # fmt: skip
        server = RunningServer(folder, free_port())
        config = folder / "config"
        config.mkdir()
        (config / "jupyter_server_config.json").write_text(json.dumps({"EasyMLNB": settings}))
        server.start()
        try:
            assert server.publish(make_notebook(SOURCE))["state"] == "ready"
            yield World(server, broker, kafka, inbox)
        finally:
            server.stop()


def properties(message: Any) -> dict[str, str]:
    return dict(message.properties.UserProperty)


def test_devices_get_answers_over_mqtt(world: World) -> None:
    world.until(lambda: world.bridge("plant")["state"] == "connected", "no connection")
    device = Device(world.broker, "plant/results", "devices/#", "dead")
    device.send("plant/7/in", b'{"x": 4}', EVENT | {"id": "event-0001"})
    answer = device.receive()
    assert (answer.topic, answer.payload, answer.properties.ContentType) == (
        "plant/results", b"8.0", "application/json",
    )  # fmt: skip
    assert properties(answer)["id"] == "event-0001.answer"
    reply = {"ResponseTopic": "devices/9", "CorrelationData": b"\x01"}
    device.send("plant/9/in", b'{"x": 5}', {}, **reply)
    answer = device.receive()
    assert (answer.topic, answer.payload) == ("devices/9", b"10.0")
    assert answer.properties.CorrelationData == b"\x01"
    device.send("plant/9/in", b'{"x": "no"}', EVENT | {"id": "event-0002"}, ResponseTopic="plant/1")
    found = {message.topic: message for message in (device.receive(), device.receive())}
    assert found["dead"].payload == b'{"x": "no"}'
    assert properties(found["dead"])["easymlnb-error"] == "invalid_input"
    assert properties(found["plant/results"])["type"] == "org.easymlnb.error"
    assert json.loads(found["plant/results"].payload)["error"]["request_id"] == "event-0002"
    device.close()
    counts = world.bridge("plant")
    assert (counts["received"], counts["answered"], counts["dead"]) == (3, 2, 1)
    log = world.server.http.get("services/double/log").json()
    assert "broker" in json.dumps(log)


def test_calls_arrive_as_cloud_events(world: World) -> None:
    http, path = world.server.http, "services/double/call"
    headers = {f"ce-{name}": value for name, value in EVENT.items()} | {"ce-id": "http 0001"}
    for replayed in (None, "true"):
        answer = http.post(path, json={"x": 2}, headers=headers)
        assert (answer.status_code, answer.json()) == (200, 4.0)
        assert (answer.headers["ce-id"], answer.headers["ce-type"]) == (
            "http%200001.answer", "org.easymlnb.result",
        )  # fmt: skip
        assert answer.headers.get("Idempotency-Replayed") == replayed
    untyped = http.post(path, content=b'{"x": 4}', headers=headers | {"ce-id": "no-type"})
    assert (untyped.status_code, untyped.json()) == (200, 8.0)
    plain = http.post(path, content=b'{"x": 4}')
    assert (plain.status_code, plain.json()["error"]["code"]) == (415, "unsupported_media_type")
    assert "has no Content-Type" in plain.json()["error"]["message"]
    structured = {"Content-Type": "application/cloudevents+json"}
    document = EVENT | {"id": "http-0002", "data": {"x": 3}}
    answer = http.post(path, content=json.dumps(document), headers=structured)
    assert answer.headers["Content-Type"] == "application/cloudevents+json"
    assert answer.headers["X-Request-Id"] == "http-0002"
    found = answer.json()
    assert (found["data"], found["causationid"]) == (6.0, "http-0002")
    document |= {"id": "http-0003", "data": {"x": "no"}}
    refused = http.post(path, content=json.dumps(document), headers=structured)
    assert (refused.status_code, refused.headers["ce-type"]) == (422, "org.easymlnb.error")
    assert refused.json()["error"]["code"] == "invalid_input"
    broken = http.post(path, content="{", headers=structured)
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "bad_request")
    missing = http.post(path, json={"x": 2}, headers={"ce-specversion": "1.0"})
    assert "lacks the attribute 'id'" in missing.json()["error"]["message"]


def test_records_get_answers_over_kafka(world: World) -> None:
    for number in range(20):
        headers = {f"ce_{name}": value for name, value in EVENT.items()}
        headers |= {"ce_id": f"record-{number:04}", "content-type": "application/json"}
        body = b'{"x": "no"}' if number == 7 else b'{"x": %d}' % number
        world.kafka.send("samples", body, headers, b"%d" % number)
    world.kafka.flush()
    consumer = world.kafka.consumer("results", "dead")
    found: dict[tuple[str, bytes], Any] = {}
    while len(found) < 21:
        record = consumer.poll(60)
        assert record is not None and record.error() is None
        found[record.topic(), record.key()] = record
    consumer.close()
    assert found["results", b"3"].value() == b"6.0"
    headers = dict(found["results", b"3"].headers())
    assert (headers["ce_id"], headers["ce_type"]) == (b"record-0003.answer", b"org.easymlnb.result")
    assert dict(found["results", b"7"].headers())["ce_easymlnberror"] == b"invalid_input"
    letter = found["dead", b"7"]
    assert letter.value() == b'{"x": "no"}'
    assert dict(letter.headers())["easymlnb-error"] == b"invalid_input"


def test_a_folder_feeds_a_service(world: World) -> None:
    (world.inbox / "good.txt").write_text("a\nb\n")
    (world.inbox / "bad.txt").write_text("bad")
    (world.inbox / "other.csv").write_text("left alone")
    done = world.inbox / "done"
    world.until(lambda: (done / "good.txt").exists() and (done / "bad.txt").exists(), "no results")
    result = json.loads((done / "good.txt.result.json").read_text())
    assert result == {"name": "good.txt", "lines": 2, "least": 2}
    error = json.loads((done / "bad.txt.error.json").read_text())
    assert (error["code"], error["message"]) == ("caller_error", "The file is bad.")
    source = world.until(
        lambda: (
            (found := world.server.http.get("storage-events/scans").json())
            and not found["counts"]["running"]
            and found
        ),
        "not ended",
    )
    assert (source["state"], source["counts"]["succeeded"], source["counts"]["failed"]) == (
        "watching", 1, 1,
    )  # fmt: skip
    assert {one["path"]: one["state"] for one in source["files"]} == {
        "good.txt": "succeeded",
        "bad.txt": "failed",
    }
    assert (world.inbox / "other.csv").exists()


def test_bridges_and_sources_are_listed(world: World) -> None:
    shown = {one["name"]: one for one in world.server.http.get("bridges").json()["bridges"]}
    assert shown["plant"]["state"] == shown["stream"]["state"] == "connected"
    assert shown["away"]["state"] == "waiting"
    assert "does not respond" in shown["away"]["reason"]
    assert world.server.http.get("bridges/nobody").json()["error"]["code"] == "bridge_not_found"
    missing = world.server.http.get("storage-events/nobody").json()
    assert missing["error"]["code"] == "source_not_found"
    with ml.connect(world.server.url, world.server.token) as client:
        assert [one["name"] for one in client.admin.bridges()] == ["away", "plant", "stream"]
        assert [one["name"] for one in client.admin.storage_events()] == ["scans"]
        assert client.admin.storage_source("scans")["pattern"] == "*.txt"
    where = ["--url", world.server.url, "--token", world.server.token]
    for command, found in (
        (["bridges"], "does not respond"),
        (["sources"], "watching"),
        (["sources", "scans"], "good.txt"),
    ):
        ran = CliRunner().invoke(app, [*command, *where])
        assert (ran.exit_code, found in ran.output) == (0, True), ran.output
    metrics = world.server.http.get(f"{world.server.url}metrics").text
    assert 'easymlnb_bridge_messages_total{bridge="plant",outcome="answered"}' in metrics


def test_nothing_is_lost_when_the_server_is_killed(world: World) -> None:
    device = Device(world.broker, "plant/results")
    consumer = world.kafka.consumer("results", group="second")
    before = world.bridge("plant")["received"]
    for number in range(12):
        (world.inbox / f"{number}.txt").write_text("a\n" * number)
        event = EVENT | {"id": f"killed-{number:04}"}
        device.send("plant/1/in", b'{"x": %d}' % number, event)
        headers = {f"ce_{name}": value for name, value in event.items()}
        world.kafka.send("samples", b'{"x": %d}' % number, headers)
    world.kafka.flush()
    world.until(lambda: world.bridge("plant")["received"] > before + 3, "no message")
    world.until(lambda: list((world.inbox / ".working").glob("*/*.txt")), "no claim")
    client = ml.connect(world.server.url, world.server.token)
    stored, copy = (world.inbox.parent / name for name in ("outbox.db", "copy.db"))
    outbox = client.outbox(stored)
    calls = {outbox.put("double", x=100 + number): 200 + 2 * number for number in range(6)}
    outbox.close()
    shutil.copy(stored, copy)
    with client.outbox(stored) as sent:
        assert sent.flush() == 6
    outbox = client.outbox(copy)  # as after a crash of the device
    world.server.stop(signal.SIGKILL)
    assert outbox.flush() == 0
    (world.inbox / "12.txt").write_text("a\n" * 12)
    world.server.start()
    done = world.inbox / "done"
    results = [done / f"{number}.txt.result.json" for number in range(13)]
    answers: Counter[str] = Counter()
    while len(answers) < 12:
        answers[properties(device.receive())["causationid"]] += 1
    device.close()
    records: set[str] = set()
    while len(records) < 12:
        record = consumer.poll(60)
        assert record is not None
        cause = dict(record.headers())["ce_causationid"].decode()
        records |= {cause} if cause.startswith("killed") else set()
    consumer.close()
    assert outbox.flush() == 6
    ended: dict[str, Any] = {}
    while len(ended) < 6:
        ended |= {one.key: one.result for one in outbox.results()}
    assert ended == calls
    assert world.server.http.get("jobs", params={"service": "double"}).json()["total"] == 6
    outbox.close()
    client.close()
    world.until(lambda: all(path.exists() for path in results), "a result is missing")
    world.until(lambda: (done / "12.txt").exists(), "not moved")
    assert [json.loads(path.read_text())["lines"] for path in results] == list(range(13))
    names = [path.name for path in done.iterdir() if path.name[0].isdigit()]
    assert len(names) == 26
    jobs = world.server.http.get("jobs", params={"service": "lines", "limit": 100}).json()
    assert jobs["total"] == 15
