"""Traits of webhooks and mail."""

from typing import Any

from traitlets import Enum, HasTraits, Integer, List, TraitError, Unicode, validate

from easymlnb_server.webhooks.hosts import AllowedHosts
from easymlnb_server.webhooks.mail import PORTS, MailServer


class WebhookSettings(HasTraits):
    """Traits of webhooks and mail."""

    webhook_hosts = List(
        Unicode(),
        help="Hosts that webhooks may call: names, '*.names', addresses and networks. Private "
        "addresses must be listed as addresses or networks.",
    ).tag(config=True)
    public_url = Unicode(
        help="URL of this server's routes for links in webhooks and mail; default: the Hub's "
        "public URL, or the URL that Jupyter prints."
    ).tag(config=True)
    smtp_host = Unicode(help="Mail server for mail about jobs; empty: no mail.").tag(config=True)
    smtp_port = Integer(
        0, help="Port of the mail server; 0: 587 for starttls, 465 for tls, 25 for none."
    ).tag(config=True)
    smtp_tls = Enum(
        [*PORTS], "starttls", help="Encryption of the connection to the mail server."
    ).tag(config=True)
    smtp_user = Unicode(help="User name at the mail server; empty: no login.").tag(config=True)
    smtp_password_file = Unicode(help="File with the password at the mail server.").tag(config=True)
    mail_from = Unicode(help="Sender of mail about jobs.").tag(config=True)
    mail_domains = List(Unicode(), help="Domains to which mail is sent, such as example.org.").tag(
        config=True
    )

    @validate("webhook_hosts")
    def _hosts(self, proposal: Any) -> list[str]:
        try:
            AllowedHosts.parse(proposal["value"])
        except ValueError as error:
            raise TraitError(f"EasyMLNB.webhook_hosts: {error}.") from error
        return list(proposal["value"])

    @validate("mail_from")
    def _sender(self, proposal: Any) -> str:
        text = str(proposal["value"])
        if text and ("@" not in text or not text.isprintable()):
            raise TraitError(f"EasyMLNB.mail_from: {text!r} is not a mail address.")
        return text

    @property
    def allowed_hosts(self) -> AllowedHosts:
        """The hosts that webhooks may call."""
        return AllowedHosts.parse(self.webhook_hosts)

    @property
    def mail_server(self) -> MailServer:
        """The mail server; raises ``TraitError`` if it has no sender."""
        if self.smtp_host and not self.mail_from:
            raise TraitError("EasyMLNB.smtp_host needs EasyMLNB.mail_from, the sender of the mail.")
        return MailServer(
            self.smtp_host,
            self.smtp_port,
            self.smtp_tls,
            self.smtp_user,
            self.smtp_password_file,
            self.mail_from,
            frozenset(domain.lower() for domain in self.mail_domains),
        )
