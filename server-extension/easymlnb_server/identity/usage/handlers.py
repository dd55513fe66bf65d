"""Read the usage of services, as JSON or CSV."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta
from tornado import web

from easymlnb.contract.errors import BadRequest, Forbidden
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.access import Action
from easymlnb_server.identity.grants import Scope
from easymlnb_server.identity.usage.models import Key, Totals
from easymlnb_server.openapi.document import JSON, TEXT, Operation, ok, query_parameter

CSV = "text/csv"
DEFAULT_DAYS = 30
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


class UsageHandler(EasyHandler):
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

    def days(self) -> tuple[str, str]:
        """Return the first and the last day; raises ``BadRequest``."""
        today = datetime.now(UTC).date()
        until = self._day("until", today)
        since = self._day("since", until - timedelta(days=DEFAULT_DAYS - 1))
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
