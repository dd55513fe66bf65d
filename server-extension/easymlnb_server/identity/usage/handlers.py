"""Read the usage of services, as JSON or CSV."""

import csv
import io
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, ClassVar

import msgspec
from markupsafe import Markup
from msgspec import Meta
from tornado import web

from easymlnb.contract.errors import BadRequest, Forbidden
from easymlnb_server.http import charts
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.http.pages import PageHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.grants import Scope
from easymlnb_server.identity.usage.models import Key, Totals
from easymlnb_server.openapi.document import HTML, JSON, TEXT, Operation, ok, query_parameter

CSV = "text/csv"
DEFAULT_DAYS = 30
MAX_BARS = 90
"""Maximum number of days in a chart."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters by which spreadsheets take a text for a formula."""


class UsageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of a service's version on one day, by one user or API key."""

    day: Annotated[str, Meta(description="In UTC, such as `2026-01-31`.")]
    service: str
    version: str
    user: Annotated[str, Meta(description="`(visitor)` for calls without a login.")]
    key: Annotated[str, Meta(description="The id of an API key; empty without one.")]
    calls: int
    errors: int
    compute_seconds: float
    gpu_seconds: float
    bytes_in: int
    bytes_out: int


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Usage by day, service, version, user and API key."""

    since: str
    until: str
    usage: list[UsageEntry]


class _UsageHandler(EasyHandler):
    """Base: reads what the caller may see."""

    def days(self) -> tuple[str, str]:
        """Return the first and the last day; raises ``BadRequest``."""
        today = datetime.now(UTC).date()
        until = self._day("until", today)
        first = max(until.toordinal() - DEFAULT_DAYS + 1, date.min.toordinal())
        since = self._day("since", date.fromordinal(first))
        if since > until:
            raise BadRequest(f"since ({since}) is after until ({until}).")
        return since.isoformat(), until.isoformat()

    async def entries(self, since: str, until: str) -> list[UsageEntry]:
        """Return the entries that the caller may see."""
        caller = self.caller
        if caller is None:
            raise Forbidden("Only users can read usage. Log in first.")
        self.state.published.check()
        key = self.get_query_argument("key", "")
        if caller.key is not None:
            key = caller.key.id
        service = self.get_query_argument("service", "")
        user = self.get_query_argument("user", "")
        rows = await self.state.usage.read(since=since, until=until, service=service, key=key)
        return [
            _entry(place, totals)
            for place, totals in rows
            if self._may_see(place) and user in ("", place[3])
        ]

    def _may_see(self, place: Key) -> bool:
        _, service, _, user, key = place
        caller = self.caller
        assert caller is not None
        if caller.key is not None:
            return key == caller.key.id
        if not self.state.services.shared or caller.admin or caller.owns(user):
            return True
        return self.state.services.allows(caller, service, Action.MANAGE)

    def _day(self, name: str, default: date) -> date:
        text = self.get_query_argument(name, "")
        if not text:
            return default
        try:
            return date.fromisoformat(text)
        except ValueError as error:
            raise BadRequest(
                f"Invalid {name} {text[:40]!r}: use a day such as 2026-01-31."
            ) from error


class UsageHandler(_UsageHandler):
    """``GET usage``: of the caller's services, and the caller's own calls."""

    key_scopes: ClassVar = {"GET": (Scope.READ,)}

    @web.authenticated
    async def get(self) -> None:
        since, until = self.days()
        found = await self.entries(since, until)
        format = self.get_query_argument("format", "json")
        if format not in ("json", "csv"):
            raise BadRequest(f"Invalid format {format[:40]!r}: use json or csv.")
        if format == "json":
            self.write_json(Usage(since=since, until=until, usage=found))
            return
        self.set_header("Content-Type", f"{CSV}; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="usage-{until}.csv"')
        self.finish(as_csv(found))


class UsagePageHandler(_UsageHandler, PageHandler):
    """``GET usage/page``: the same with plots."""

    @web.authenticated
    async def get(self) -> None:
        since, until = self.days()
        found = await self.entries(since, until)
        self.page(
            "usage.html",
            since=since,
            until=until,
            plots=_plots(found, since, until),
            services=_sums(found, lambda entry: entry.service),
            users=_sums(found, lambda entry: entry.key or entry.user),
        )


def _sums(
    entries: Iterable[UsageEntry], name: Callable[[UsageEntry], str]
) -> list[tuple[str, Totals]]:
    """Return totals by name, those with the most calls first."""
    sums: dict[str, Totals] = {}
    for entry in entries:
        values = {field: getattr(entry, field) for field in Totals.__struct_fields__}
        sums.setdefault(name(entry), Totals()).add(Totals(**values))
    return sorted(sums.items(), key=lambda item: (-item[1].calls, item[0]))


def _plots(entries: Iterable[UsageEntry], since: str, until: str) -> list[tuple[str, Markup]]:
    """Return titles and charts of calls and compute seconds by day."""
    sums = dict(_sums(entries, lambda entry: entry.day))
    first, count = date.fromisoformat(since), MAX_BARS
    count = min(count, (date.fromisoformat(until) - first).days + 1)
    last = date.fromisoformat(until)
    days = [(last - timedelta(days=back)).isoformat() for back in reversed(range(count))]
    totals = [(day, sums.get(day, Totals())) for day in days]
    calls = [(day, float(one.calls), float(one.errors)) for day, one in totals]
    seconds = [(day, one.compute_seconds, 0.0) for day, one in totals]
    most = max((one for _, one, _ in seconds), default=0.0)
    return [
        ("Calls, failed ones in red", charts.days(
            f"Calls by day: {sum(one for _, one, _ in calls):,.0f} in total", calls,
            f"{max((one for _, one, _ in calls), default=0):,.0f}",
        )),
        ("Compute seconds", charts.days(
            f"Compute seconds by day: {sum(one for _, one, _ in seconds):,.1f} in total", seconds,
            charts.duration(most),
        )),
    ]  # fmt: skip


def _entry(place: Key, totals: Totals) -> UsageEntry:
    day, service, version, user, key = place
    values = msgspec.to_builtins(totals)
    for name in ("compute_seconds", "gpu_seconds"):
        values[name] = round(values[name], 6)
    return UsageEntry(day=day, service=service, version=version, user=user, key=key, **values)


def as_csv(entries: list[UsageEntry]) -> str:
    """Return entries as CSV; no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(UsageEntry.__struct_fields__)
    for entry in entries:
        writer.writerow(_cell(getattr(entry, name)) for name in UsageEntry.__struct_fields__)
    return out.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


OPERATIONS = {
    "GET /usage/page": Operation(
        "getUsagePage",
        "See usage as plots",
        ok("A page for people.", HTML),
        (503,),
        tag="Documents",
    ),
    "GET /usage": Operation(
        "getUsage",
        "Read the usage of your services, and your own",
        ok("By day, service, version, user and key.", {JSON: Usage, CSV: TEXT}),
        (503,),
        tag="Usage",
        query=(
            query_parameter("since", "The first day; default: 30 days.", TEXT),
            query_parameter("until", "The last day; default: today, in UTC.", TEXT),
            query_parameter("service", "Only this service.", TEXT),
            query_parameter("user", "Only calls of this user.", TEXT),
            query_parameter("key", "Only calls with the API key of this id.", TEXT),
            query_parameter("format", "`json` or `csv`.", {**TEXT, "enum": ["json", "csv"]}),
        ),
        description="An API key with the scope `read` gets its own usage only.",
    ),
}
