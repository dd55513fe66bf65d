"""Send mail about jobs, by the SMTP server of the settings."""

import re
import smtplib
import socket
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec

from easymlnb.contract.errors import BadRequest
from easymlnb_server.webhooks.models import TEST, Delivery
from easymlnb_server.webhooks.rules import DeliveryOutcome

SCHEME = "mailto:"
PORTS = {"starttls": 587, "tls": 465, "none": 25}
SECONDS = 20.0
PERMANENT = 500
"""The lowest code of an SMTP server for what a repetition does not help."""

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)")

WORDS = {
    "job.succeeded": "succeeded",
    "job.failed": "failed",
    "job.cancelled": "was canceled",
    "job.preempted": "left its node and will continue",
}


@dataclass(frozen=True, slots=True)
class MailServer:
    """The SMTP server, who sends, and to which domains; without a ``host``, no mail is sent."""

    host: str = ""
    port: int = 0
    tls: str = "starttls"
    user: str = ""
    password_file: str = ""
    sender: str = ""
    domains: frozenset[str] = frozenset()

    def check(self, url: str) -> str:
        """Return the address of a ``mailto:`` URL; raises ``BadRequest``."""
        address = url.removeprefix(SCHEME)
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise BadRequest(f"Invalid mail address {address!r}.")
        if not self.host:
            raise BadRequest(
                "This server sends no mail. Its administrator can set EasyMLNB.smtp_host, "
                "mail_from and mail_domains."
            )
        if found[1].lower() not in self.domains:
            names = ", ".join(sorted(self.domains)) or "none"
            raise BadRequest(
                f"This server sends no mail to {found[1]!r}. Domains in EasyMLNB.mail_domains: "
                f"{names}."
            )
        return address

    def send(self, delivery: Delivery) -> DeliveryOutcome:
        """Send the mail of a delivery; blocks."""
        try:
            message = compose(delivery, self.sender, self.check(delivery.url))
            with self._connect() as server:
                if self.user:
                    server.login(self.user, self._password())
                server.send_message(message)
        except BadRequest as error:
            return DeliveryOutcome(error=error.message, final=True)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            final = code >= PERMANENT
            return DeliveryOutcome(code, f"The mail server refuses the address: {text!r}.", final)
        except smtplib.SMTPResponseException as error:
            reason = str(error.smtp_error)
            return DeliveryOutcome(
                error.smtp_code, f"The mail server answered {error.smtp_code}: {reason}"
            )
        except (smtplib.SMTPException, OSError) as error:
            return DeliveryOutcome(
                error=f"The mail server cannot be used: {error or type(error).__name__}."
            )
        return DeliveryOutcome()

    def _connect(self) -> smtplib.SMTP:
        port, name = self.port or PORTS[self.tls], socket.gethostname()
        if self.tls == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, port, name, timeout=SECONDS, context=context)
        server = smtplib.SMTP(self.host, port, name, timeout=SECONDS)
        if self.tls == "starttls":
            try:
                server.starttls(context=ssl.create_default_context())
            except BaseException:
                server.close()
                raise
        return server

    def _password(self) -> str:
        return Path(self.password_file).read_text("utf-8").strip()


def compose(delivery: Delivery, sender: str, address: str) -> EmailMessage:
    """Return the mail of a delivery; each try has the same ``Message-ID``."""
    data: dict[str, Any] = msgspec.json.decode(delivery.body)["data"]
    message = EmailMessage()
    message["From"], message["To"] = sender, address
    message["Date"] = formatdate(delivery.created)
    domain = sender.rpartition("@")[2].strip("> ") or "localhost"
    message["Message-ID"] = f"<{delivery.id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    if delivery.event == TEST:
        message["Subject"] = "easymlnb: test"
        message.set_content("Mail about your jobs arrives at this address.\n")
        return message
    what = WORDS[delivery.event]
    message["Subject"] = f"{data['service']}: job {what}"
    lines = [f"The job {data['id']} of {data['service']} (version {data['version']}) {what}."]
    if error := data.get("error"):
        lines += ["", str(error["message"])]
    times = [f"{name.capitalize()}: {data[name]}" for name in ("began", "ended") if data[name]]
    message.set_content("\n".join([*lines, "", *times, f"{data['url']}/page", ""]))
    return message
