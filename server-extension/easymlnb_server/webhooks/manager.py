"""Webhooks: keep them, fill the outbox when jobs end, and send what is in it.

A delivery is written in the transaction that ends the job, so it is never lost. It may arrive
twice if the server is killed after the receiver has it; each try has the same id.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import UNSET

from easymlnb.contract.errors import (
    BadRequest,
    EasyMLNBError,
    Forbidden,
    InternalError,
    JobNotFound,
    WebhookNotFound,
)
from easymlnb_server.credentials.encryption import NO_KEY, Cipher, KeySource
from easymlnb_server.identity.access import Caller
from easymlnb_server.jobs.models import Job, new_id
from easymlnb_server.jobs.submission import JobWebhook
from easymlnb_server.store.store import Store
from easymlnb_server.webhooks import job_webhooks, rules, signing
from easymlnb_server.webhooks.mail import SCHEME, MailServer
from easymlnb_server.webhooks.models import (
    TEST,
    Delivery,
    Webhook,
    WebhookChange,
    WebhookRequest,
)
from easymlnb_server.webhooks.repository import DeliveryOutbox, WebhookRepository, new_delivery
from easymlnb_server.webhooks.sending import HttpSender

MOST = 50
"""Maximum number of webhooks of one owner."""

AT_ONCE, PER_WEBHOOK = 16, 4
"""Maximum numbers of tries at the same time: of all webhooks, and of one."""

LONGEST_WAIT = 5.0
"""Maximum seconds between two looks into the outbox, unless something wakes it."""

COMMIT_SECONDS = 0.05
"""Seconds until the transaction that has filled the outbox should be committed."""

FORMER_SECONDS = 86400.0
"""Seconds for which the former secret also signs after a rotation."""

CHECK_SECONDS = 10.0
"""Maximum seconds for the look-up of a new webhook's host."""

log = logging.getLogger("easymlnb.webhooks")


class Webhooks:
    """All webhooks of a server; only the active process sends.

    Parameters
    ----------
    check
        Raises why this process does not serve.
    keys
        Where the key is that encrypts secrets.
    http, mail
        What sends.
    url
        The URL of all routes, for links.
    retention
        Seconds until a delivery that has ended is deleted.
    """

    def __init__(
        self,
        check: Callable[[], None],
        keys: KeySource,
        http: HttpSender,
        mail: MailServer,
        url: Callable[[], str],
        retention: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._check = check
        self._keys = keys
        self._http = http
        self._mail = mail
        self.outbox = DeliveryOutbox(url, self._filled, clock)
        self._retention = retention
        self._clock = clock
        self._cipher: Cipher | None = None
        self._rows: WebhookRepository | None = None
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def repository(self) -> WebhookRepository:
        """The rows of webhooks; raises why this process does not serve them."""
        self._check()
        assert self._rows is not None
        return self._rows

    async def prepare(self, store: Store) -> None:
        """Use a store, before any job can end."""
        self._loop = asyncio.get_running_loop()
        self._rows = WebhookRepository(store.database)
        try:
            self._cipher = await asyncio.to_thread(self._keys.load)
        except EasyMLNBError as error:
            log.error("The secrets of webhooks cannot be read: %s", error)
        if self._cipher is not None:
            await asyncio.to_thread(self._renew_secrets, self._rows, self._cipher)

    def _filled(self) -> None:
        """Send soon what a transaction, which runs in another thread, has put into the outbox."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(
                    self._loop.call_later, COMMIT_SECONDS, self._woken.set
                )

    async def create(
        self, request: WebhookRequest, caller: Caller, owner: str
    ) -> tuple[Webhook, str]:
        """Store a new webhook; return it with its secret. Raises ``BadRequest``."""
        await self._check_url(request.url)
        _check_events(request.events)
        now = self._clock()
        webhook = Webhook(
            id=new_id(now),
            owner=owner,
            user=caller.name,
            service=request.service,
            url=request.url,
            events=request.events,
            created=now,
            changed=now,
        )
        secret = ""
        if not _is_mail(webhook):
            secret = signing.new_secret()
            encrypted = (await self._require_cipher()).encrypt(secret)
            webhook = msgspec.structs.replace(webhook, secret=encrypted)
        if not await asyncio.to_thread(self.repository.add, webhook, MOST):
            raise BadRequest(f"You have {MOST} webhooks already. Remove one first.")
        return webhook, secret

    async def for_job(self, headers: Mapping[str, str], caller: Caller | None) -> JobWebhook | None:
        """Return the webhook of a single job that a request asks for, if it does.

        Raises ``BadRequest``, or ``Forbidden`` for a visitor.
        """
        asked = job_webhooks.parse(headers)
        if asked is None:
            return None
        if caller is None:
            raise Forbidden("Webhooks need a login.")
        await self._check_url(asked.url)
        secret = ""
        if not asked.url.startswith(SCHEME):
            secret = (await self._require_cipher()).encrypt(asked.secret or signing.new_secret())
        return JobWebhook(asked.url, asked.events, secret)

    def secret_of(self, job: Job) -> str:
        """Return the secret that signs the messages of a job's own webhook."""
        token = job.options.webhook_secret
        return (self._cipher.decrypt(token) or "") if token and self._cipher is not None else ""

    async def change(self, id: str, owner: str, change: WebhookChange) -> Webhook:
        """Change a webhook, and return it; raises ``WebhookNotFound`` or ``BadRequest``."""
        old = await self.get(id, owner)
        values: dict[str, Any] = {"changed": self._clock()}
        if change.url is not UNSET:
            if change.url.startswith(SCHEME) != _is_mail(old):
                raise BadRequest("A webhook stays one of a program, or of mail. Create a new one.")
            await self._check_url(change.url)
            values["url"] = change.url
        if change.events is not UNSET:
            _check_events(change.events)
            values["events"] = [event.value for event in change.events]
        if change.enabled is not UNSET:
            values["disabled"] = "" if change.enabled else "Its owner disabled it."
        return await asyncio.to_thread(self.repository.change, id, values)

    async def rotate(self, id: str, owner: str) -> tuple[Webhook, str]:
        """Give a webhook a new secret, and return both; the former one signs for a day more."""
        old = await self.get(id, owner)
        if _is_mail(old):
            raise BadRequest("Mail has no secret.")
        secret, now = signing.new_secret(), self._clock()
        encrypted = (await self._require_cipher()).encrypt(secret)
        values = {"secret": encrypted, "former": old.secret, "changed": now}
        values["former_until"] = now + FORMER_SECONDS
        return await asyncio.to_thread(self.repository.change, id, values), secret

    async def get(self, id: str, owner: str) -> Webhook:
        """Return a webhook of ``owner``; raises ``WebhookNotFound``."""
        webhook = await asyncio.to_thread(self.repository.get, id)
        if webhook.owner != owner:
            raise WebhookNotFound
        return webhook

    async def find(self, owner: str) -> list[Webhook]:
        """Return the webhooks of an owner, newest first."""
        return await asyncio.to_thread(self.repository.find, owner)

    async def remove(self, id: str, owner: str) -> None:
        """Delete a webhook with its deliveries."""
        await self.get(id, owner)
        await asyncio.to_thread(self.repository.remove, id)

    async def test(self, id: str, owner: str) -> Delivery:
        """Send a test to a webhook, and return the delivery."""
        webhook, now = await self.get(id, owner), self._clock()
        delivery = new_delivery(webhook, "", TEST, rules.test_body(webhook, now), now)
        await asyncio.to_thread(self.repository.add_delivery, delivery)
        self.wake()
        return delivery

    async def deliveries(self, owner: str | None, **chosen: Any) -> list[Delivery]:
        """Return deliveries, newest first; see ``WebhookRepository.deliveries``."""
        return await asyncio.to_thread(lambda: self.repository.deliveries(owner=owner, **chosen))

    async def retry(self, id: str) -> Delivery:
        """Have a delivery tried now."""
        delivery = await asyncio.to_thread(self.repository.retry, id, self._clock())
        self.wake()
        return delivery

    def wake(self) -> None:
        """Look into the outbox now."""
        self._woken.set()

    async def run(self) -> None:
        """Send what is due, until canceled."""
        sending: dict[asyncio.Task[None], Delivery] = {}
        try:
            while True:
                self._woken.clear()
                pause = await self._start_due(sending)
                woken = asyncio.create_task(self._woken.wait())
                await asyncio.wait(
                    {woken, *sending}, timeout=pause, return_when=asyncio.FIRST_COMPLETED
                )
                woken.cancel()
                for task in [task for task in sending if task.done()]:
                    del sending[task]
                    task.result()
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def purge(self) -> None:
        """Delete the deliveries that ended long ago."""
        before = self._clock() - self._retention
        await asyncio.to_thread(self.repository.remove_old, before)

    async def _start_due(self, sending: dict[asyncio.Task[None], Delivery]) -> float:
        """Start the tries that are due; return the seconds until the next look."""
        repository, now = self.repository, self._clock()
        busy = Counter(delivery.webhook for delivery in sending.values())
        ids = [delivery.id for delivery in sending.values()]
        for delivery in await asyncio.to_thread(repository.due, now, 10 * AT_ONCE, ids):
            if len(sending) < AT_ONCE and busy[delivery.webhook] < PER_WEBHOOK:
                busy[delivery.webhook] += 1
                sending[asyncio.create_task(self.deliver(delivery))] = delivery
        if sending:
            return LONGEST_WAIT
        following = await asyncio.to_thread(repository.next)
        wait = LONGEST_WAIT if following is None else following - self._clock()
        return min(LONGEST_WAIT, max(0.0, wait))

    async def deliver(self, delivery: Delivery) -> None:
        """Try a delivery once, and write how that ended."""
        try:
            outcome = await self._send(delivery)
        except EasyMLNBError:
            raise  # such as a database that is away
        except Exception:
            log.exception("The delivery %s could not be sent.", delivery.id)
            outcome = rules.DeliveryOutcome(error=InternalError().message)
        now = self._clock()
        if outcome.gone and not delivery.webhook:
            outcome = replace(outcome, final=True)
        values = rules.after_try(delivery, outcome, now)
        if outcome.error:
            log.info("The delivery %s failed (%s).", delivery.id, outcome.error)
        await asyncio.to_thread(self.repository.finish, delivery, values)
        if outcome.gone and delivery.webhook:
            disabled = {"disabled": "The receiver answered 410, Gone.", "changed": now}
            with suppress(WebhookNotFound):
                await asyncio.to_thread(self.repository.change, delivery.webhook, disabled)

    async def _send(self, delivery: Delivery) -> rules.DeliveryOutcome:
        try:
            webhook = await asyncio.to_thread(self.repository.of_delivery, delivery)
        except (JobNotFound, WebhookNotFound):
            return rules.DeliveryOutcome(error="The webhook was removed.", final=True)
        if webhook.disabled:
            return rules.DeliveryOutcome(
                error=f"The webhook is disabled. {webhook.disabled}", final=True
            )
        if _is_mail(webhook):
            return await asyncio.to_thread(self._mail.send, delivery)
        secrets = self._secrets(webhook)
        if not secrets:
            text = "The secret cannot be decrypted: the key of this server has changed. Rotate it."
            return rules.DeliveryOutcome(error=text)
        body = delivery.body.encode()
        headers = signing.headers(f"msg_{delivery.id}", body, secrets, self._clock())
        headers["content-type"] = "application/json"
        headers["user-agent"] = "easymlnb"
        return await self._http.send(delivery.url, headers, body)

    def _secrets(self, webhook: Webhook) -> list[str]:
        """Return the secrets that sign, the newest first."""
        tokens = [webhook.secret]
        if webhook.former and webhook.former_until > self._clock():
            tokens.append(webhook.former)
        cipher = self._cipher
        found = [cipher.decrypt(token) for token in tokens] if cipher is not None else []
        return [text for text in found if text is not None]

    async def _check_url(self, url: str) -> None:
        """Raise ``BadRequest`` for a URL that is not allowed, or whose host is not."""
        if url.startswith(SCHEME):
            self._mail.check(url)
            return
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._http.find(url)
        except TimeoutError as error:
            raise BadRequest("The host of the webhook's URL cannot be found in time.") from error

    async def _require_cipher(self) -> Cipher:
        if self._cipher is None:
            self._cipher = await asyncio.to_thread(lambda: self._keys.load(create=True))
        if self._cipher is None:
            raise NO_KEY
        return self._cipher

    def _renew_secrets(self, rows: WebhookRepository, cipher: Cipher) -> None:
        """Encrypt all secrets with the first key where they are not."""
        for webhook in rows.find():
            tokens = {"secret": webhook.secret, "former": webhook.former}
            new = {name: cipher.rotate(token) for name, token in tokens.items() if token}
            if changed := {name: token for name, token in new.items() if token is not None}:
                rows.change(webhook.id, changed)


def _is_mail(webhook: Webhook) -> bool:
    return webhook.url.startswith(SCHEME)


def _check_events(events: tuple[Any, ...]) -> None:
    if not events or len(set(events)) != len(events):
        raise BadRequest("events must be a list of different events, such as ['job.failed'].")
