"""Export the audit log."""

from tornado import web

from easymlnb.contract.errors import BadRequest, Forbidden
from easymlnb_server.http.base import EasyHandler
from easymlnb_server.identity.audit.log import line
from easymlnb_server.openapi.document import COUNT, TEXT, Operation, ok, query_parameter

JSON_LINES = "application/jsonl"
DEFAULT_LIMIT, MAX_LIMIT = 1000, 10_000


class AuditHandler(EasyHandler):
    """``GET audit``: events as lines of JSON, oldest first."""

    audited_reads = True

    @web.authenticated
    async def get(self) -> None:
        caller, shared = self.caller, self.state.services.shared
        if caller is None:
            raise Forbidden("Only users can read the audit log. Log in first.")
        self.state.published.check()
        names = frozenset([caller.name]) if caller.names is None else caller.names
        events = await self.state.audit.read(
            after=self._number("after", 0, 2**53),
            limit=self._number("limit", DEFAULT_LIMIT, MAX_LIMIT),
            names=None if caller.admin or not shared else names,
            action=self.get_query_argument("action", ""),
            target=self.get_query_argument("target", ""),
        )
        self.set_header("Content-Type", JSON_LINES)
        self.finish(b"".join(map(line, events)))

    def _number(self, name: str, default: int, most: int) -> int:
        text = self.get_query_argument(name, "") or str(default)
        if not text.isascii() or not text.isdigit() or int(text[:17]) > most:
            raise BadRequest(f"Invalid {name} {text[:40]!r}: use a whole number up to {most:,}.")
        return int(text)


OPERATIONS = {
    "GET /audit": Operation(
        "exportAudit",
        "Export the audit log",
        ok("One event per line, oldest first.", {JSON_LINES: TEXT}),
        (503,),
        tag="Audit",
        query=(
            query_parameter("after", "Only events after the one with this `id`.", COUNT),
            query_parameter("limit", "Maximum number of events; default: 1000.", COUNT),
            query_parameter("action", "Only this action, such as `key.create`.", TEXT),
            query_parameter("target", "Only events of this service, key or user.", TEXT),
        ),
        description=(
            "Your own events and those of what you own; administrators get all. Pass the last "
            "`id` as `after` to read on."
        ),
    ),
}
