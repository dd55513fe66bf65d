"""The routes of schedules: create, list, change, pause, run now and remove; and their page."""

import time
from datetime import UTC, datetime

from tornado import web

from easymlnb.contract.errors import Forbidden
from easymlnb.contract.json_values import decode_body
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.body import BodyHandler
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.identity.access import Caller
from easymlnb_server.jobs.handlers import job_owner, send_accepted
from easymlnb_server.jobs.models import JobAccepted
from easymlnb_server.openapi.document import HTML, JSON, TEXT, Operation, done, ok, query_parameter
from easymlnb_server.schedules import responses
from easymlnb_server.schedules.manager import Schedules
from easymlnb_server.schedules.models import (
    Overlap,
    Schedule,
    ScheduleChange,
    ScheduleDetails,
    ScheduleList,
    ScheduleRequest,
    ScheduleShown,
)

MAX_BODY = 2**20
MAX_SUGGESTIONS = 200
"""Names of services that the page suggests."""

ADVICE = (
    'Send the schedule as JSON, such as {"service": "train", "cron": "0 6 * * *", '
    '"zone": "Europe/Berlin", "inputs": {"epochs": 20}}'
)


class ScheduleHandlerBase(EasyHandler):
    """Base of the routes of schedules: callers see their own, administrators of a Hub all.

    API keys cannot manage schedules, which would outlive them.
    """

    @property
    def schedules(self) -> Schedules:
        return self.state.schedules

    @property
    def owner(self) -> str | None:
        """The key of the schedules that the caller may see; ``None`` for all."""
        if self.state.services.shared and self.user().admin:
            return None
        return job_owner(self)

    def user(self) -> Caller:
        """Return the caller, who must be logged in."""
        if self.caller is None:
            raise Forbidden("Schedules need a login.")
        return self.caller

    async def write_details(self, schedule: Schedule, status: int = 200) -> None:
        """Send a schedule with the parameters of its calls."""
        inputs = await self.schedules.inputs(schedule)
        shown = responses.details(schedule, self.address, time.time(), inputs)
        self.write_json(shown, status)

    async def change(self, id: str, change: ScheduleChange) -> Schedule:
        """Change a schedule and record that."""
        schedule = await self.schedules.change(id, self.owner, change, self.user())
        about = {"cron": schedule.cron, "zone": schedule.zone, "paused": schedule.next is None}
        await self.record("schedule.change", id, owner=schedule.user, details=about)
        return schedule

    async def all(self, service: str = "") -> list[ScheduleShown]:
        """Return the schedules that the caller may see."""
        found = await self.schedules.find(self.owner, service)
        now = time.time()
        return [responses.shown(one, self.address, now) for one in found]


class SchedulesHandler(ScheduleHandlerBase, BodyHandler):
    """``GET`` and ``POST schedules``."""

    def body_limit(self) -> int:
        return MAX_BODY

    @web.authenticated
    async def get(self) -> None:
        self.write_json(
            ScheduleList(schedules=await self.all(self.get_query_argument("service", "")))
        )

    @web.authenticated
    async def post(self) -> None:
        request = decode_body(self.read_body(), ScheduleRequest, ADVICE)
        schedule = await self.schedules.create(request, self.user(), job_owner(self))
        about = {"service": schedule.service, "cron": schedule.cron, "zone": schedule.zone}
        await self.record("schedule.create", schedule.id, owner=schedule.user, details=about)
        self.set_header("Location", f"{self.address}schedules/{schedule.id}")
        await self.write_details(schedule, 201)


class ScheduleHandler(ScheduleHandlerBase, BodyHandler):
    """``GET``, ``PATCH`` and ``DELETE schedules/{id}``."""

    body_method = "PATCH"

    def body_limit(self) -> int:
        return MAX_BODY

    @web.authenticated
    async def get(self, id: str) -> None:
        await self.write_details(await self.schedules.get(id, self.owner))

    @web.authenticated
    async def patch(self, id: str) -> None:
        advice = 'Send what changes as JSON, such as {"cron": "0 7 * * *"} or {"paused": true}'
        change = decode_body(self.read_body(), ScheduleChange, advice)
        await self.write_details(await self.change(id, change))

    @web.authenticated
    async def delete(self, id: str) -> None:
        schedule = await self.schedules.get(id, self.owner)
        await self.schedules.remove(id, self.owner)
        await self.record("schedule.remove", id, owner=schedule.user)
        self.set_status(204)
        self.finish()


class PauseScheduleHandler(ScheduleHandlerBase):
    """``POST schedules/{id}/pause`` and ``/resume``."""

    def initialize(self, paused: bool = True) -> None:
        self._paused = paused

    @web.authenticated
    async def post(self, id: str) -> None:
        await self.write_details(await self.change(id, ScheduleChange(paused=self._paused)))


class RunScheduleHandler(ScheduleHandlerBase):
    """``POST schedules/{id}/run``: make a job now."""

    @web.authenticated
    async def post(self, id: str) -> None:
        send_accepted(self, await self.schedules.run_now(id, self.owner, self.request_id))


class SchedulesPageHandler(PageHandler, ScheduleHandlerBase):
    """``GET schedules/page``: a table of one's own schedules, and a form for a new one."""

    @web.authenticated
    async def get(self) -> None:
        services = self.state.services
        names = services.names(self.caller)
        self.page(
            "schedules.html",
            schedules=await self.all(),
            known=[name for name in names if services.is_published(name)][:MAX_SUGGESTIONS],
            overlaps=[one.value for one in Overlap],
            shared=services.shared,
            time=_time,
        )


def _time(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


_SHOWN = ok("The schedule.", ScheduleDetails)

OPERATIONS = {
    "GET /schedules": Operation(
        "listSchedules", "Your schedules, newest first", ok("All of them.", ScheduleList), (503,),
        tag="Schedules", query=(query_parameter("service", "Only those of this service.", TEXT),),
    ),
    "POST /schedules": Operation(
        "createSchedule", "Call a service at times of a cron expression",
        ok("The schedule is stored.", ScheduleDetails, 201), (404, 503),
        tag="Schedules", body={JSON: ScheduleRequest},
        description="Each tick makes one job, with the rights of who created the schedule.",
    ),
    "GET /schedules/page": Operation(
        "getSchedulesPage", "Your schedules, for people", ok("A page.", HTML), (503,),
        tag="Schedules",
    ),
    "GET /schedules/{id}": Operation(
        "getSchedule", "A schedule", _SHOWN, (503,), tag="Schedules"
    ),
    "PATCH /schedules/{id}": Operation(
        "changeSchedule", "Change a schedule", _SHOWN, (503,), tag="Schedules",
        body={JSON: ScheduleChange},
    ),
    "DELETE /schedules/{id}": Operation(
        "removeSchedule", "Remove a schedule", done("The schedule is removed; its jobs stay."),
        (503,), tag="Schedules",
    ),
    "POST /schedules/{id}/run": Operation(
        "runSchedule", "Run a schedule now", ok("A job of the schedule.", JobAccepted, 202),
        (400, 403, 429, 503), tag="Schedules",
    ),
    "POST /schedules/{id}/pause": Operation(
        "pauseSchedule", "Pause a schedule", _SHOWN, (400, 503), tag="Schedules"
    ),
    "POST /schedules/{id}/resume": Operation(
        "resumeSchedule", "Resume a schedule", _SHOWN, (400, 503), tag="Schedules",
        description="Ticks that passed meanwhile make no jobs.",
    ),
}  # fmt: skip
