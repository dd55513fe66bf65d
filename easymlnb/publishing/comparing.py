"""``f.compare(3, 4)`` and ``f.flags()``: versions side by side, and calls that users flagged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from easymlnb.client import Client, hub
from easymlnb.contract.options import named_options

SHOWN = 5
"""Inputs with differences that a report shows."""


@dataclass(frozen=True, slots=True, repr=False)
class ComparisonReport:
    """Two versions of a service on the same inputs.

    outcomes: number of inputs that gave ``equal`` results, results ``within`` the tolerance, or
    ``different`` ones, that ``failed``, or were ``skipped``.
    items: one entry for each input, with its ``outcome`` and ``differences``.
    summary: latency of both versions, label flips, largest difference and more.
    url: the page with plots.
    """

    id: str
    service: str
    versions: tuple[int, int]
    state: str
    outcomes: dict[str, int]
    summary: dict[str, Any] = field(repr=False)
    items: list[dict[str, Any]] = field(repr=False)
    url: str
    error: str = ""

    @property
    def same(self) -> bool:
        """Whether all inputs gave the same results, within the tolerance."""
        return self.state == "succeeded" and not {"different", "failed"} & self.outcomes.keys()

    def __repr__(self) -> str:
        return "\n".join([*lines(self.to_dict()), f"Page: {self.url}"])

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as the server describes it."""
        described = {name: getattr(self, name) for name in ("id", "service", "versions", "state")}
        error = {"error": {"message": self.error}} if self.error else {}
        return {**described, "summary": self.summary, "items": self.items, **error}


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return a comparison as lines of text."""
    before, after = found["versions"]
    shown = [f"{found['service']}: version {before} and version {after}, {found['state']}"]
    if found.get("error"):
        shown.append(str(found["error"]["message"]))
    summary = found["summary"]
    outcomes = [f"{count} {name}" for name, count in summary["outcomes"].items()]
    shown.append(f"Inputs: {', '.join(outcomes) or 'none'}")
    for side in summary["latency"]:
        times = ", ".join(
            f"{name} {side[name] * 1000:.3g} ms"
            for name in ("p50", "p95")
            if side[name] is not None
        )
        failed = f", {side['errors']} errors" if side["errors"] else ""
        shown.append(f"Version {side['version']}: {times or 'no answers'}{failed}")
    for flip in summary["flips"][:SHOWN]:
        shown.append(f"{flip['count']} x {flip['before']!r} became {flip['after']!r}")
    if summary["largest"] is not None:
        shown.append(f"Largest difference of two numbers: {summary['largest']:.6g}")
    if summary["iou"] is not None:
        shown.append(f"Mean IoU of label images: {summary['iou']:.4f}")
    changed = [item for item in found["items"] if item["outcome"] in ("different", "failed")]
    shown += [_item(item) for item in changed[:SHOWN]]
    if len(changed) > SHOWN:
        shown.append(f"... and {len(changed) - SHOWN} more inputs")
    return shown


def _item(item: Mapping[str, Any]) -> str:
    found = item.get("note", "")
    differences = item.get("differences") or []
    if differences:
        first = differences[0]
        where = first.get("path") or "result"
        found = f"{where}: {first.get('note') or ''}".rstrip(": ")
        if "before" in first or "after" in first:
            found = f"{where}: {first.get('before')!r} became {first.get('after')!r}"
    for version in ("before", "after"):
        if code := (item.get(version) or {}).get("code"):
            found += f" {version}: {code}"
    return f"  input {item['number'] + 1} ({item.get('inputs', '')}): {found}"[:200]


@named_options
def compare(
    service: str,
    before: int | str,
    after: int | str,
    *,
    on: str = "examples",
    limit: int | None = None,
    relative: float | None = None,
    absolute: float | None = None,
    url: str | None = None,
    token: str | None = None,
) -> ComparisonReport:
    """Compare two versions of a published service; see ``ServiceFunction.compare``."""
    server = hub.publish_target(url, token)
    with Client(server) as client:
        found = client.admin.compare(
            service, before, after, on=on, limit=limit, relative=relative, absolute=absolute
        )
    first, second = found["versions"]
    error = found.get("error")
    return ComparisonReport(
        id=found["id"],
        service=found["service"],
        versions=(int(first), int(second)),
        state=found["state"],
        outcomes=dict(found["summary"]["outcomes"]),
        summary=dict(found["summary"]),
        items=list(found["items"]),
        url=f"{hub.public_url(server)}comparisons/{found['id']}/page",
        error=str(error["message"]) if error else "",
    )


@named_options
def flags(
    service: str, *, url: str | None = None, token: str | None = None
) -> list[dict[str, Any]]:
    """Return the flagged calls of a service, newest first; see ``ServiceFunction.flags``."""
    with Client(hub.publish_target(url, token)) as client:
        return client.admin.flags(service)
