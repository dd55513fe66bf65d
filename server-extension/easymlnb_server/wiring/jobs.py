"""Builds jobs and the webhooks that report their outcomes."""

import os
from dataclasses import dataclass
from pathlib import Path

from jupyter_server.serverapp import ServerApp

from easymlnb_server.calls.invoker import Invoker
from easymlnb_server.credentials.encryption import KeySource
from easymlnb_server.jobs.manager import Jobs
from easymlnb_server.settings import Settings
from easymlnb_server.uploads.spool import Spool
from easymlnb_server.webhooks.manager import Webhooks
from easymlnb_server.webhooks.sending import HttpSender
from easymlnb_server.wiring.serving import ServingParts


@dataclass(frozen=True, slots=True)
class JobParts:
    """Jobs, and what tells others that they ended."""

    jobs: Jobs
    webhooks: Webhooks


def job_parts(
    settings: Settings,
    server: ServerApp,
    serving: ServingParts,
    invoker: Invoker,
    spool: Spool,
    keys: KeySource,
) -> JobParts:
    """Return the jobs of a server; ``keys`` encrypt the secrets of webhooks."""
    jobs = Jobs(
        invoker,
        serving.published,
        serving.publisher,
        serving.deployments,
        spool,
        Path(settings.state_dir),
        settings.parsed_lanes,
        settings.job_limits,
    )
    webhooks = Webhooks(
        serving.published.check,
        keys,
        HttpSender(settings.allowed_hosts),
        settings.mail_server,
        lambda: _public_url(settings, server),
        settings.job_retention,
    )
    jobs.on_outcome.append(webhooks.outbox)
    return JobParts(jobs, webhooks)


def _public_url(settings: Settings, server: ServerApp) -> str:
    """Return the URL of all routes, as people outside see it."""
    hub = os.environ.get("JUPYTERHUB_PUBLIC_URL", "")
    if hub and not settings.shared:
        hub = f"{hub.rstrip('/')}/easymlnb"
    found = settings.public_url or hub or f"{server.connection_url.rstrip('/')}/easymlnb"
    return f"{found.rstrip('/')}/"
