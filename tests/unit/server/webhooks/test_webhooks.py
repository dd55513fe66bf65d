"""The outbox on both databases: a delivery for each end of a job, until it has arrived."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from easymlnb.contract.errors import BadRequest, CredentialsDisabled, Forbidden, WebhookNotFound
from easymlnb_server.credentials.encryption import KeySource
from easymlnb_server.identity.access import Caller
from easymlnb_server.jobs import rules as job_rules
from easymlnb_server.jobs.models import Job, JobOptions
from easymlnb_server.jobs.repository import JobRepository
from easymlnb_server.store.store import Store
from easymlnb_server.webhooks import job_webhooks
from easymlnb_server.webhooks.hosts import AllowedHosts
from easymlnb_server.webhooks.mail import MailServer
from easymlnb_server.webhooks.manager import FORMER_SECONDS, Webhooks
from easymlnb_server.webhooks.models import (
    ENDS,
    Delivery,
    DeliveryState,
    Event,
    Webhook,
    WebhookChange,
    WebhookRequest,
)
from easymlnb_server.webhooks.rules import PAUSES
from easymlnb_server.webhooks.sending import HttpSender
from support.webhook_receiver import Receiver

from ..jobs.test_rules import BOOM, make_job

ANN, OWNER = Caller("ann"), "user ann"
RETENTION = 1000.0


class World:
    def __init__(self, store: Store, folder: Path, receiver: Receiver) -> None:
        self.now = 1_770_000_000.0
        self.receiver = receiver
        self.webhooks = Webhooks(
            lambda: None,
            KeySource(own=folder / "key"),
            HttpSender(AllowedHosts.parse(["localhost", "127.0.0.0/8", "::1"])),
            MailServer(),
            lambda: "https://hub.example.org/easymlnb/",
            RETENTION,
            lambda: self.now,
        )
        self.jobs = JobRepository(store.database, [self.webhooks.outbox])

    async def create(self, **values: Any) -> tuple[Webhook, str]:
        request = WebhookRequest(url=self.receiver.url, **values)
        return await self.webhooks.create(request, ANN, OWNER)

    def running(self, **values: Any) -> Job:
        self.jobs.add(make_job(**values))
        (job,) = self.jobs.claim("jobs", "me", 1, self.now)
        return self.jobs.apply(job, job_rules.begin(job, "w", self.now)) or job

    def succeed(self, **values: Any) -> Job:
        job = self.running(**values)
        ended = self.jobs.apply(job, job_rules.succeed(job, {"result": "0" * 64}, self.now))
        assert ended is not None
        return ended

    async def try_due(self) -> list[Delivery]:
        """Try once what is due, and return all deliveries, newest first."""
        for delivery in self.webhooks.repository.due(self.now, 100):
            await self.webhooks.deliver(delivery)
        return await self.all()

    async def all(self) -> list[Delivery]:
        return await self.webhooks.deliveries(OWNER)


@pytest.fixture
async def world(store: Store, tmp_path: Path, receiver: Receiver) -> World:
    made = World(store, tmp_path, receiver)
    await made.webhooks.prepare(store)
    return made


async def test_an_end_is_delivered_once_and_signed(world: World) -> None:
    _, secret = await world.create()
    job = world.succeed()
    (delivery,) = await world.try_due()
    assert (delivery.state, delivery.tries, delivery.status) == (DeliveryState.DELIVERED, 1, 204)
    await world.try_due()
    ((headers, body),) = world.receiver.messages
    assert headers["webhook-id"] == f"msg_{delivery.id}"
    message = json.loads(body)
    assert message["type"] == "job.succeeded"
    assert message["data"] | {"id": job.id, "state": "succeeded"} == message["data"]
    assert message["data"]["url"] == f"https://hub.example.org/easymlnb/jobs/{job.id}"
    assert secret not in str(world.webhooks.repository.find())
    assert _verified(secret, headers, body) == [True]


async def test_a_single_job_has_a_webhook_of_its_own(world: World) -> None:
    headers = {job_webhooks.URL: world.receiver.url}
    found = await world.webhooks.for_job(headers, ANN)
    assert found is not None and found.events == ENDS
    options = JobOptions(
        webhook=found.url, webhook_events=found.events, webhook_secret=found.secret
    )
    job = world.succeed(options=options)
    world.succeed(id="other")
    (delivery,) = await world.try_due()
    assert (delivery.webhook, delivery.job, delivery.state) == ("", job.id, "delivered")
    secret = world.webhooks.secret_of(job)
    ((sent, body),) = world.receiver.messages
    assert secret not in found.secret and _verified(secret, sent, body) == [True]


async def test_the_webhook_of_a_single_job_ends_with_the_job_and_by_410(world: World) -> None:
    options = JobOptions(webhook=world.receiver.url, webhook_events=ENDS)
    job = world.succeed(options=options)
    (delivery,) = await world.try_due()
    assert "Rotate" in delivery.error  # it has no secret
    world.jobs.remove(job.id)
    world.now = delivery.next
    (delivery,) = await world.try_due()
    assert (delivery.state, delivery.error) == ("failed", "The webhook was removed.")
    found = await world.webhooks.for_job({job_webhooks.URL: world.receiver.url}, ANN)
    assert found is not None
    world.receiver.answers = [410]
    options = JobOptions(
        webhook=found.url, webhook_events=found.events, webhook_secret=found.secret
    )
    world.succeed(id="other", options=options)
    assert (await world.try_due())[0].state == "failed"


@pytest.mark.parametrize(
    ("headers", "caller", "message"),
    [
        ({"X-Easymlnb-Webhook": "http://10.1.2.3/"}, ANN, "'10.1.2.3' are not allowed"),
        ({"X-Easymlnb-Webhook": "ftp://localhost/"}, ANN, "must be such as"),
        ({"X-Easymlnb-Webhook": "http://localhost/"}, None, "need a login"),
        ({"X-Easymlnb-Webhook": f"http://localhost/{'x' * 500}"}, ANN, "at most 500"),
        ({"X-Easymlnb-Webhook-Secret": "whsec_x"}, ANN, "the URL to call"),
        (
            {"X-Easymlnb-Webhook": "http://localhost/", "X-Easymlnb-Webhook-Secret": "short"},
            ANN,
            "24 to 64 bytes",
        ),
        (
            {"X-Easymlnb-Webhook": "http://localhost/", "X-Easymlnb-Webhook-Events": "job.began"},
            ANN,
            "'job.began'",
        ),
    ],
)
async def test_what_is_no_webhook_of_a_job(
    world: World, headers: dict[str, str], caller: Caller | None, message: str
) -> None:
    with pytest.raises((BadRequest, Forbidden)) as refused:
        await world.webhooks.for_job(headers, caller)
    assert message in refused.value.message


def _verified(secret: str, headers: dict[str, str], body: bytes) -> list[bool]:
    """Return whether each signature is the one that the standard's package makes."""
    moment = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    own = Verifier(secret).sign(headers["webhook-id"], moment, body.decode())
    return [one == own for one in headers["webhook-signature"].split()]


async def test_a_receiver_that_is_down_gets_one_delivery_by_id(world: World) -> None:
    await world.create()
    world.receiver.answers = [503, 503, 500]
    world.succeed()
    for pause in PAUSES[:3]:
        (delivery,) = await world.try_due()
        assert delivery.state is DeliveryState.PENDING and delivery.error
        assert delivery.next == world.now + pause
        await world.try_due()  # not before its time
        world.now += pause
    (delivery,) = await world.try_due()
    assert (delivery.state, delivery.tries, delivery.error) == (DeliveryState.DELIVERED, 4, "")
    assert len(world.receiver.ids) == 4 and len(set(world.receiver.ids)) == 1


async def test_a_delivery_fails_in_the_end_and_can_be_tried_again(world: World) -> None:
    await world.create()
    world.receiver.answers = [500] * (len(PAUSES) + 1)
    world.succeed()
    for _ in range(len(PAUSES) + 1):
        (delivery,) = await world.try_due()
        world.now = max(world.now, delivery.next)
    assert delivery.state is DeliveryState.FAILED and delivery.ended is not None
    world.now += 86400
    await world.try_due()
    assert len(world.receiver.messages) == len(PAUSES) + 1
    again = await world.webhooks.retry(delivery.id)
    assert again.state is DeliveryState.PENDING
    (delivery,) = await world.try_due()
    assert delivery.state is DeliveryState.DELIVERED
    assert (await world.webhooks.retry(delivery.id)).state is DeliveryState.DELIVERED
    world.now += RETENTION + 1
    await world.webhooks.purge()
    assert await world.all() == []


async def test_who_answers_410_gets_no_more(world: World) -> None:
    webhook, _ = await world.create()
    world.receiver.answers = [410]
    world.succeed()
    await world.try_due()
    assert "410" in (await world.webhooks.get(webhook.id, OWNER)).disabled
    world.succeed()
    assert len(await world.all()) == 1
    await world.webhooks.change(webhook.id, OWNER, WebhookChange(enabled=True))
    world.succeed()
    assert len(await world.all()) == 2


async def test_only_the_wanted_events_of_the_owner_are_sent(world: World) -> None:
    await world.create(service="train", events=(Event.FAILED, Event.PREEMPTED))
    world.succeed(service="train")
    for values in ({"service": "f"}, {"service": "train", "owner": "user bob"}):
        job = world.running(**values)
        world.jobs.apply(job, job_rules.fail(job, BOOM, world.now))
    job = world.running(service="train", parent="0" * 26)
    world.jobs.apply(job, job_rules.fail(job, BOOM, world.now))
    assert await world.all() == []
    job = world.running(service="train", attempts=2)
    world.jobs.apply(job, job_rules.preempt(job, 0, world.now))
    (job,) = world.jobs.claim("jobs", "me", 1, world.now)
    job = world.jobs.apply(job, job_rules.fail(job, BOOM, world.now)) or job
    (job,) = world.jobs.claim("jobs", "me", 1, world.now + 60)
    world.jobs.apply(job, job_rules.fail(job, BOOM, world.now))
    bodies = {one.event: json.loads(one.body) for one in await world.all()}
    assert bodies.keys() == {"job.preempted", "job.failed"}
    assert bodies["job.failed"]["data"]["error"] == BOOM


async def test_jobs_that_end_while_they_wait_are_told_too(world: World) -> None:
    await world.create()
    waiting = world.jobs.add(make_job())
    world.jobs.change(waiting.id, lambda job: job_rules.cancel(job, world.now))
    world.jobs.add(make_job(service="gone"))
    error = {"code": "service_not_found", "message": "gone"}
    world.jobs.fail_unfinished(["gone"], error, world.now, world.now)
    assert {one.event for one in await world.all()} == {"job.cancelled", "job.failed"}


async def test_a_repeated_transaction_fills_the_outbox_once(world: World) -> None:
    await world.create()
    job = world.running()
    change = job_rules.succeed(job, {"result": "0" * 64}, world.now)
    for _ in range(2):
        assert world.jobs.apply(job, change) is not None
    assert len(await world.all()) == 1


async def test_secrets_are_rotated(world: World, store: Store) -> None:
    webhook, first = await world.create()
    rotated, second = await world.webhooks.rotate(webhook.id, OWNER)
    assert first != second and rotated.secret != webhook.secret
    await world.webhooks.test(webhook.id, OWNER)
    await world.try_due()
    world.now += FORMER_SECONDS
    await world.webhooks.test(webhook.id, OWNER)
    await world.try_due()
    both, last = world.receiver.messages
    assert _verified(first, *both) == [False, True] and _verified(second, *both) == [True, False]
    assert _verified(second, *last) == [True]
    restarted = World(store, world.webhooks._keys.own.parent, world.receiver)  # type: ignore[union-attr]
    await restarted.webhooks.prepare(store)
    assert restarted.webhooks._secrets(rotated) == [second, first]


async def test_what_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook, _ = await world.create()
    for url, message in (
        ("https://hooks.example.org/", "webhook_hosts"),
        ("mailto:ann@example.org", "This server sends no mail"),
        ("nonsense", "such as 'https"),
    ):
        with pytest.raises(BadRequest, match=message):
            await world.webhooks.create(WebhookRequest(url=url), ANN, OWNER)
        with pytest.raises(BadRequest):
            await world.webhooks.change(webhook.id, OWNER, WebhookChange(url=url))
    with pytest.raises(BadRequest, match="events must be"):
        await world.create(events=())
    with pytest.raises(WebhookNotFound):
        await world.webhooks.get(webhook.id, "user bob")
    monkeypatch.setattr("easymlnb_server.webhooks.manager.MOST", 1)
    with pytest.raises(BadRequest, match="1 webhooks already"):
        await world.create()
    world.webhooks._keys, world.webhooks._cipher = KeySource(), None
    with pytest.raises(CredentialsDisabled):
        await world.create()
    await world.webhooks.test(webhook.id, OWNER)
    (delivery,) = await world.try_due()
    assert "cannot be decrypted" in delivery.error
    await world.webhooks.remove(webhook.id, OWNER)
    assert await world.all() == []


async def until(read: Callable[[], Awaitable[list[Delivery]]], tries: int) -> None:
    async with asyncio.timeout(20):
        while True:
            if sum(one.tries for one in await read()) == tries:
                return
            await asyncio.sleep(0.01)


async def test_the_loop_sends_what_jobs_put_into_the_outbox(world: World) -> None:
    await world.create()
    running = asyncio.create_task(world.webhooks.run())
    try:
        world.succeed()
        await until(world.all, tries=1)
        world.receiver.answers = [500]
        world.succeed(service="g")
        await until(world.all, tries=2)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
