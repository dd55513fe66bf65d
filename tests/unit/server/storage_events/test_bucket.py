"""Objects of a bucket: S3 and SQS are moto's, and notifications come as S3 sends them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from easymlnb.contract.errors import BadRequest, NotReady
from easymlnb_server.identity.access import Caller, SingleUserDirectory
from easymlnb_server.identity.principals import Principals
from easymlnb_server.storage_events.bucket import BucketPlace
from easymlnb_server.storage_events.manager import StorageEvents
from easymlnb_server.storage_events.models import Source
from easymlnb_server.storage_events.notifications import ObjectEvent
from easymlnb_server.storage_events.watcher import Watcher
from easymlnb_server.store.store import Store

from .test_watcher import FakeJobs, FakeServices

ANN = Caller("ann", admin=True)


class S3:
    """A bucket ``lab`` whose new objects below ``in/`` a queue gets to know."""

    def __init__(self, url: str) -> None:
        import boto3

        self.url = url
        self.s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        self.sqs = boto3.client("sqs", endpoint_url=url, region_name="us-east-1")
        self.queue = self.sqs.create_queue(QueueName="new")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        self.s3.create_bucket(Bucket="lab")
        rules = [{"QueueArn": arn["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*"]}]
        self.s3.put_bucket_notification_configuration(
            Bucket="lab", NotificationConfiguration={"QueueConfigurations": rules}
        )

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket="lab", Key=key, Body=body)

    def objects(self) -> dict[str, bytes]:
        listed = self.s3.list_objects_v2(Bucket="lab").get("Contents", [])
        return {
            one["Key"]: self.s3.get_object(Bucket="lab", Key=one["Key"])["Body"].read()
            for one in listed
        }

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)
        return sum(int(count) for count in found["Attributes"].values())


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    # The state of moto is that of the process.
    assert httpx.post(f"http://{host}:{port}/moto-api/reset").status_code == 200
    yield S3(f"http://{host}:{port}")
    running.stop()


def source(s3: S3 | None = None, **values: Any) -> Source:
    common: dict[str, Any] = {"bucket": "lab", "prefix": "in/", "pattern": "*.csv"}
    if s3 is not None:
        common |= {"endpoint": s3.url, "queue": s3.queue, "region": "us-east-1"}
    return Source(service="f", **(common | values))


def manager(jobs: FakeJobs, store: Store, found: Source) -> StorageEvents:
    services: Any = FakeServices()
    services.shared = False
    users = Principals(SingleUserDirectory(), ANN, shared=False, on_hub=False)
    jobs.on_ended = []  # type: ignore[attr-defined]
    made = StorageEvents({"lab": found}, jobs, services, users, 10.0)  # type: ignore[arg-type]
    made.prepare(store)
    return made


async def look(watcher: Watcher, jobs: FakeJobs) -> None:
    for _ in range(3):
        await watcher.look()
        jobs.run_all()


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("results", ["", "out/"])
async def test_each_object_has_one_result(s3: S3, store: Store, results: str) -> None:
    jobs = FakeJobs(store)
    watcher = manager(jobs, store, source(s3, results=results)).watchers["lab"]
    s3.put("in/a b/é.csv", b"1,2")
    s3.put("in/wrong.csv", b"bad")
    s3.put("in/other.txt", b"left alone")
    s3.put("elsewhere.csv", b"left alone")
    watcher.place.open()
    await look(watcher, jobs)
    where = results or "in/"
    found = s3.objects()
    assert found[f"{where}a b/é.csv.result.json"].isdigit()
    assert json.loads(found[f"{where}wrong.csv.error.json"])["code"] == "call_failed"
    assert jobs.repository.find(limit=10)[1] == 2
    s3.put("in/wrong.csv", b"good now")  # the same key, another object
    await look(watcher, jobs)
    await look(watcher, jobs)
    found = s3.objects()
    assert f"{where}wrong.csv.result.json" in found
    assert f"{where}wrong.csv.error.json" not in found
    assert len(found) == 6
    assert jobs.repository.find(limit=10)[1] == 3
    assert s3.left() == 0
    watcher.place.close()


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
async def test_messages_stay_until_their_objects_are_stored(s3: S3, store: Store) -> None:
    place = BucketPlace(source(s3))
    place.open()
    s3.put("in/a.csv", b"1")
    found = place.find(10)
    assert [one.path for one in found] == ["in/a.csv"]
    assert s3.left() > 0  # the server could be killed here
    place.confirm(found)
    assert s3.left() == 0
    with pytest.raises(NotReady, match="refused"):
        BucketPlace(source(s3, bucket="missing")).open()


def event(key: str, sequencer: str = "1") -> dict[str, Any]:
    about = {"key": key, "size": 3, "eTag": "e", "sequencer": sequencer}
    return {"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": "lab"}, "object": about}}


async def test_a_webhook_takes_each_object_once(store: Store) -> None:
    events = manager(FakeJobs(store), store, source())
    body = json.dumps({"Records": [event("in/a.csv"), event("in/b.csv"), event("c.csv")]}).encode()
    assert await events.notify("f", body, ANN) == 2
    assert await events.notify("f", body, ANN) == 0
    changed = json.dumps({"Records": [event("in/a.csv", "2")]}).encode()
    assert await events.notify("f", changed, ANN) == 1
    with pytest.raises(BadRequest, match="no source"):
        await events.notify("g", body, ANN)
    with pytest.raises(BadRequest, match="no source"):
        await events.notify("f", body, None)
    assert (await events.counts())["lab"] == {
        "taken": 3, "running": 0, "succeeded": 0, "failed": 0,
    }  # fmt: skip
    assert [one.path for one in await events.latest("lab", 1)] == ["in/a.csv"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"Records": [' * 50_000,
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        json.dumps({"Records": [{**event("in/a%00.csv")}]}).encode(),
        json.dumps({"Records": [{**event("in/" + "a" * 2000)}]}).encode(),
        json.dumps({"Records": [event("in/a.csv")]}).replace('"size": 3', '"size": -1').encode(),
        json.dumps({"Records": [event("in/a.csv")]}).replace('"lab"', '""').encode(),
    ],
    ids=["truncated", "nested", "key", "long", "size", "bucket"],
)
async def test_broken_notifications_are_refused(store: Store, tmp_path: Path, body: bytes) -> None:
    events = manager(FakeJobs(store), store, source())
    folder = manager(FakeJobs(store), store, Source(service="f", folder=str(tmp_path)))
    for one in (events, folder):
        with pytest.raises(BadRequest):
            await one.notify("f", body, ANN)


def test_results_of_a_bucket_are_not_taken() -> None:
    place = BucketPlace(source(prefix="", pattern="*", results="out/"))
    keys = ("a.csv", "a.csv.result.json", "out/a.csv", ".hidden")
    objects = [ObjectEvent(key, 1, "e", "", "1") for key in keys]
    assert [one.path for one in place.wanted(objects)] == ["a.csv"]
