"""Mail about jobs, by a real SMTP server on this machine."""

from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from msgspec.structs import replace

from easymlnb.contract.errors import BadRequest
from easymlnb_server.webhooks import rules
from easymlnb_server.webhooks.mail import MailServer
from easymlnb_server.webhooks.models import Delivery
from support.server import free_port

from ..jobs.test_rules import BOOM, make_job


class Mailbox:
    """Keeps what arrives; ``refuse`` is the answer to recipients."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.refuse = ""

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: Any
    ) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content))
        return "250 OK"


class Server(Controller):
    mailbox: Mailbox


def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and data.password == b"right"
    return AuthResult(success=right, handled=False)


@pytest.fixture
def smtp() -> Iterator[Server]:
    mailbox = Mailbox()
    made = Server(
        mailbox,
        "127.0.0.1",
        free_port(),
        authenticator=check,
        auth_require_tls=False,
        server_hostname="mx",
    )
    made.mailbox = mailbox
    made.start()
    yield made
    made.stop()


def server_of(smtp: Server, **values: Any) -> MailServer:
    sender, domains = "easymlnb <jobs@hub.example.org>", frozenset({"example.org"})
    values = {"port": smtp.port, "tls": "none", "sender": sender, "domains": domains} | values
    return MailServer("127.0.0.1", **values)


def delivery(**values: Any) -> Delivery:
    job = make_job(service="ann/train", error=BOOM, began=1.0, ended=61.0)
    event = values.get("event", "job.failed")
    body = rules.body(event, job, f"https://hub.example.org/jobs/{job.id}", 62.0)
    fields = {
        "id": job.id, "webhook": "w", "owner": "user ann", "job": job.id, "event": event,
        "url": "mailto:ann@example.org", "body": body, "created": 62.0,
    }  # fmt: skip
    return Delivery(**fields | values)


def test_mail_names_the_job_and_its_error(smtp: Server) -> None:
    sent = delivery()
    outcome = server_of(smtp).send(sent)
    assert (outcome.error, outcome.final) == ("", False)
    (mail,) = smtp.mailbox.messages
    assert (mail["To"], mail["Subject"]) == ("ann@example.org", "ann/train: job failed")
    assert mail["Message-ID"] == f"<{sent.id}@hub.example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_payload()
    assert isinstance(text, str)
    assert "It raised." in text and f"https://hub.example.org/jobs/{sent.job}/page" in text
    test = delivery(event="webhook.test")
    assert not server_of(smtp).send(test).error
    assert smtp.mailbox.messages[1]["Subject"] == "easymlnb: test"


def test_a_login_and_its_password(smtp: Server, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("right\n")
    login = {"user": "hub", "password_file": str(file)}
    assert not server_of(smtp, **login).send(delivery()).error
    file.write_text("wrong\n")
    outcome = server_of(smtp, **login).send(delivery())
    assert outcome.status == 535 and not outcome.final
    login["password_file"] = str(tmp_path / "none")
    assert "cannot be used" in server_of(smtp, **login).send(delivery()).error


def test_what_fails_for_good_and_what_is_tried_again(smtp: Server) -> None:
    smtp.mailbox.refuse = "550 No such user"
    outcome = server_of(smtp).send(delivery())
    assert outcome.status == 550 and outcome.final and "No such user" in outcome.error
    smtp.mailbox.refuse = "451 Try later"
    outcome = server_of(smtp).send(delivery())
    assert outcome.status == 451 and not outcome.final
    away = replace_port(server_of(smtp), 9)
    outcome = away.send(delivery())
    assert "cannot be used" in outcome.error and not outcome.final
    outcome = server_of(smtp, tls="starttls").send(delivery())
    assert outcome.error and not outcome.final  # this server has no TLS
    assert smtp.mailbox.messages == []


def replace_port(server: MailServer, port: int) -> MailServer:
    return MailServer(server.host, port, server.tls, "", "", server.sender, server.domains)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mailto:ann@evil.org", "no mail to 'evil.org'. Domains in EasyMLNB.mail_domains"),
        ("mailto:ann", "Invalid mail address"),
        ("mailto:ann@example.org,bob@evil.org", "Invalid mail address"),
        ("mailto:ann@example.org?cc=bob@evil.org", "Invalid mail address"),
        ("mailto:ann@example.org\nBcc: bob@evil.org", "Invalid mail address"),
    ],
)
def test_where_mail_is_not_sent(smtp: Server, url: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        server_of(smtp).check(url)
    outcome = server_of(smtp).send(replace(delivery(), url=url))
    assert outcome.final and smtp.mailbox.messages == []
    with pytest.raises(BadRequest, match="sends no mail"):
        MailServer().check("mailto:ann@example.org")
