"""Requests to receivers: signed, to one checked address, without redirects."""

import json
import time
from ipaddress import ip_address

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from easymlnb.contract.errors import BadRequest
from easymlnb_server.webhooks import sending, signing
from easymlnb_server.webhooks.hosts import Address, AllowedHosts
from easymlnb_server.webhooks.sending import HttpSender
from support.webhook_receiver import Receiver

HERE = AllowedHosts.parse(["localhost", "hooks.example.org", "127.0.0.1"])


class Names:
    """Answers look-ups from a list, the last one again and again."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "none":
            raise OSError(-2, "Name or service not known")
        return [ip_address(one) for one in answer.split()]


async def test_a_message_is_verified_by_the_package_of_the_standard(receiver: Receiver) -> None:
    secret, former = signing.new_secret(), signing.new_secret()
    body = json.dumps({"type": "job.failed", "data": {"id": "1"}}).encode()
    headers = signing.headers("msg_1", body, [secret, former], time.time())
    outcome = await HttpSender(HERE, Names("127.0.0.1")).send(receiver.url, headers, body)
    assert (outcome.status, outcome.error) == (204, "")
    ((got, content),) = receiver.messages
    assert got["host"] == f"localhost:{receiver.port}" and got["webhook-id"] == "msg_1"
    for known in (secret, former):
        assert Webhook(known).verify(content, got) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(content, got)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(content + b" ", got)


async def test_a_name_is_looked_up_once_and_dialed_by_its_address(receiver: Receiver) -> None:
    names = Names("127.0.0.1", "93.184.216.34")
    url = receiver.url.replace("localhost", "hooks.example.org")
    outcome = await HttpSender(HERE, names).send(url, {}, b"{}")
    assert outcome.status == 204 and names.asked == ["hooks.example.org"]
    assert receiver.messages[0][0]["host"] == f"hooks.example.org:{receiver.port}"


async def test_a_name_with_a_private_address_is_not_called(receiver: Receiver) -> None:
    """Also not if a public one is listed with it, or the name had one before (rebinding)."""
    allowed = AllowedHosts.parse(["hooks.example.org"])
    url = f"https://hooks.example.org:{receiver.port}/"
    for answer in ("127.0.0.1", "93.184.216.34 127.0.0.1", "::1", "169.254.169.254"):
        outcome = await HttpSender(allowed, Names(answer)).send(url, {}, b"{}")
        assert "private address" in outcome.error
    names = Names("93.184.216.34", "127.0.0.1")
    sender = HttpSender(allowed, names)
    await sender.find(url)  # when the webhook is made
    assert "private address" in (await sender.send(url, {}, b"{}")).error
    assert receiver.messages == []


async def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.answers = [302]
    outcome = await HttpSender(HERE, Names("127.0.0.1")).send(receiver.url, {}, b"{}")
    assert outcome.status == 302 and "not followed" in outcome.error
    assert len(receiver.messages) == 1


async def test_failures_have_a_reason(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.answers = [500, 410]
    sender = HttpSender(HERE, Names("127.0.0.1"))
    outcome = await sender.send(receiver.url, {}, b"{}")
    assert (outcome.status, outcome.gone) == (500, False)
    assert (await sender.send(receiver.url, {}, b"{}")).gone
    closed = await sender.send("http://localhost:9/", {}, b"{}")
    assert closed.status is None and "request failed" in closed.error
    unknown = await HttpSender(HERE, Names("none")).send(receiver.url, {}, b"{}")
    assert "cannot be found (Name or service not known)" in unknown.error
    with pytest.raises(BadRequest, match="has no address"):
        await HttpSender(HERE, Names("")).find(receiver.url)
    monkeypatch.setattr(sending, "TRY_SECONDS", 0.0)
    assert "no response within" in (await sender.send(receiver.url, {}, b"{}")).error
