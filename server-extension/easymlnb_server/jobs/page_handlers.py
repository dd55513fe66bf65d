"""The pages of jobs: one's own jobs, and one job that follows what happens."""

import asyncio
from datetime import UTC, datetime
from typing import Any, ClassVar

from markupsafe import Markup
from tornado import web
from tornado.escape import url_escape

from easymlnb_server.http import model_charts
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.jobs import responses
from easymlnb_server.jobs.handlers import JobHandlerBase, job_owner, states_named
from easymlnb_server.jobs.models import STATES, JobShown
from easymlnb_server.jobs.query import whole_number
from easymlnb_server.openapi.document import HTML, Operation, ok
from easymlnb_server.webhooks.responses import delivery_shown

PAGE_SIZE = 50
"""Jobs on one page of the list."""

LOG_SHOWN = 200_000
"""Bytes at the end of a job's output that its page shows."""

COLORS = {"queued": "", "running": "warn", "succeeded": "good", "failed": "bad", "cancelled": ""}
"""The color of the dot next to a state."""


class JobPageBase(PageHandler, JobHandlerBase):
    """Base of the pages of jobs, which are for people: keys do not open them."""

    key_scopes: ClassVar = {}

    def job_page(self, template: str, **values: Any) -> None:
        """Send a page that shows jobs."""
        self.page(
            template, colors=COLORS, time=shown_time, shared=self.state.services.shared, **values
        )


class JobsPageHandler(JobPageBase):
    """``GET jobs/page``: a table of one's own jobs, with filters."""

    @web.authenticated
    async def get(self) -> None:
        state, service = (
            self.get_query_argument("state", ""),
            self.get_query_argument("service", ""),
        )
        start = self.get_query_argument("start", "")
        found, total = await self.jobs.find(
            owner=self.owner,
            states=states_named(state),
            service=service,
            limit=PAGE_SIZE + 1,
            start=start,
        )
        shown = [responses.shown(self.jobs.current(job), self.address) for job in found[:PAGE_SIZE]]
        following = ""
        if len(found) > PAGE_SIZE:
            asked = {"state": state, "service": service, "start": found[PAGE_SIZE].id}
            following = "&".join(f"{key}={url_escape(text)}" for key, text in asked.items() if text)
        self.job_page(
            "jobs.html",
            jobs=shown,
            total=total,
            state=state,
            service=service,
            states=STATES,
            next=following,
        )


class JobPageHandler(JobPageBase):
    """``GET jobs/{id}/page``: a job's permanent page."""

    @web.authenticated
    async def get(self, id: str) -> None:
        job = await self.jobs.get(id, self.owner)
        details = await self.details(job)
        log = await self.jobs.log(job)
        start = max(0, len(log) - whole_number(self, "log", LOG_SHOWN, 0, 2**31))
        events = await asyncio.to_thread(self.jobs.repository.events, id)
        sent = await self.state.webhooks.deliveries(job_owner(self), job=id)
        self.job_page(
            "job.html",
            job=details,
            log=log[start:].decode(errors="replace"),
            cut=start,
            end=len(log),
            last=events[-1].n if events else 0,
            active=not job.state.ended,
            curves=(curves := _curves(details.metrics)),
            plots={name: _plot(name, points) for name, points in curves.items()},
            duration=_duration(details),
            deliveries=[delivery_shown(one) for one in sent],
        )


def shown_time(seconds: float | None) -> str:
    """Return a time for a template; empty for none."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _duration(job: JobShown) -> float | None:
    return None if job.began is None or job.ended is None else job.ended - job.began


def _curves(metrics: list[Any]) -> dict[str, list[Any]]:
    """Return the metrics of each name, by step."""
    curves: dict[str, list[Any]] = {}
    for metric in metrics:
        curves.setdefault(metric.name, []).append(metric)
    return curves


def _plot(name: str, points: list[Any]) -> Markup:
    return model_charts.curve(name, [(one.step, one.value) for one in points])


PAGES = {
    "GET /jobs/page": Operation(
        "getJobsPage", "Your jobs, for people", ok("A page.", HTML), (503,), tag="Jobs"
    ),
    "GET /jobs/{id}/page": Operation(
        "getJobPage", "A job, for people", ok("A page.", HTML), (503,), tag="Jobs"
    ),
}
