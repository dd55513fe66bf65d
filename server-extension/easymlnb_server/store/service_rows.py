"""What other tables store about services and users, when those get another name or are removed.

A table with the name of a service has its entry in ``MOVES`` and in ``REMOVALS``.
"""

import time
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from easymlnb_server.store import comparisons, credentials, model_rows, recordings
from easymlnb_server.store.tables import (
    api_keys,
    call_records,
    call_usage,
    deliveries,
    job_attempts,
    job_events,
    job_files,
    job_lanes,
    job_metrics,
    jobs,
    promotions,
    schedules,
    service_limits,
    versions,
    webhooks,
)

REMOVED = "(removed user)"
"""What replaces the name of a removed user: as whom no worker starts, and whose calls were kept."""

QUEUED = "queued"
TOTALS = ("calls", "errors", "compute_seconds", "gpu_seconds", "bytes_in", "bytes_out")

Move = Callable[[Connection, str, str, str], None]
Removal = Callable[[Connection, Collection[str]], None]


def move_rows(connection: Connection, old: str, new: str, owner: str) -> None:
    """Move what other tables store about a service to its new name and owner."""
    for move in MOVES.values():
        move(connection, old, new, owner)
    _change_keys(connection, lambda name: new if name == old else name)


def remove_rows(connection: Connection, names: Collection[str]) -> None:
    """Delete what other tables store about services that are removed.

    Usage and the results of jobs remain: they belong to those who called.
    """
    for remove in REMOVALS.values():
        remove(connection, names)


def move_user(connection: Connection, old: str, new: str) -> None:
    """Give the jobs, models and usage of a user to another, and revoke the user's API keys."""
    model_rows.move_models(connection, old, new)
    # The other may have used the same idempotency keys.
    values = {"owner": f"user {new}", "key": None}
    connection.execute(update(jobs).where(jobs.c.owner == f"user {old}").values(**values))
    _move_job_rules(connection, old, new)
    statement = update(call_records).where(call_records.c.caller == f"user {old}")
    connection.execute(statement.values(caller=f"user {new}"))
    _forget_lanes(connection, old)
    _rename_usage(connection, "user", old, new)
    _revoke_keys(connection, old)
    _change_keys(connection, lambda name: f"{new}/*" if name == f"{old}/*" else name)


def remove_user(connection: Connection, name: str, services: Collection[str]) -> None:
    """Delete the jobs, models and usage of a user, and revoke the user's API keys.

    ``services`` are the user's services, which are removed from all API keys.
    """
    model_rows.remove_models(connection, name)
    ids = select(jobs.c.id).where(jobs.c.owner == f"user {name}")
    for table in (job_attempts, job_events, job_files, job_metrics):
        connection.execute(delete(table).where(table.c.job.in_(ids)))
    for table in (jobs, schedules, webhooks, deliveries):
        connection.execute(delete(table).where(table.c.owner == f"user {name}"))
    statement = update(call_records).where(call_records.c.caller == f"user {name}")
    connection.execute(statement.values(caller=REMOVED))
    _forget_lanes(connection, name)
    gone = call_usage.c.user == name
    connection.execute(delete(call_usage).where(gone | call_usage.c.service.in_(services)))
    _revoke_keys(connection, name)
    removed = {*services, f"{name}/*"}
    _change_keys(connection, lambda one: None if one in removed else one)


def move_bundle(connection: Connection, old: str, new: str, service: str = "") -> None:
    """Give the jobs and models of a bundle its new id; with ``service``, only jobs of this one."""
    chosen = jobs.c.bundle == old
    if service:
        chosen &= jobs.c.service == service
    connection.execute(update(jobs).where(chosen).values(bundle=new))
    model_rows.move_bundle(connection, old, new)


def _rename(table: Table) -> Move:
    def move(connection: Connection, old: str, new: str, owner: str) -> None:
        connection.execute(update(table).where(table.c.service == old).values(service=new))

    return move


def _remove(table: Table) -> Removal:
    def remove(connection: Connection, names: Collection[str]) -> None:
        connection.execute(delete(table).where(table.c.service.in_(names)))

    return remove


def _move_versions(connection: Connection, old: str, new: str, owner: str) -> None:
    own = versions.c.service == old
    for version in connection.execute(select(versions).where(own)).all():
        changed = {"service": new, "spec": {**version.spec, "name": new}}
        statement = update(versions).where(own & (versions.c.number == version.number))
        connection.execute(statement.values(**changed))


def _move_jobs(connection: Connection, old: str, new: str, owner: str) -> None:
    """Rename a service in its jobs; those that have a worker keep the user as whom it runs."""
    own = jobs.c.service == old
    queued = update(jobs).where(own, jobs.c.state == QUEUED)
    connection.execute(queued.values(author=owner))
    # A job of a former service of this name may have the same idempotency key.
    connection.execute(update(jobs).where(jobs.c.service == new).values(key=None))
    connection.execute(update(jobs).where(own).values(service=new))


def _move_limits(connection: Connection, old: str, new: str, owner: str) -> None:
    connection.execute(delete(service_limits).where(service_limits.c.service == new))
    values = {"service": new, "changed": time.time()}
    connection.execute(update(service_limits).where(service_limits.c.service == old).values(values))


def _move_usage(connection: Connection, old: str, new: str, owner: str) -> None:
    _rename_usage(connection, "service", old, new)


def _rename_usage(connection: Connection, column: str, old: str, new: str) -> None:
    """Rename a service or user in the usage, and add up totals that fall together."""
    names = [one.name for one in call_usage.primary_key.columns]
    for row in connection.execute(select(call_usage).where(call_usage.c[column] == old)).all():
        values = {**row._mapping, column: new}
        same = [call_usage.c[name] == values[name] for name in names]
        added = {name: call_usage.c[name] + values[name] for name in TOTALS}
        if not connection.execute(update(call_usage).where(*same).values(**added)).rowcount:
            connection.execute(insert(call_usage).values(**values))
    connection.execute(delete(call_usage).where(call_usage.c[column] == old))


def _move_job_rules(connection: Connection, old: str, new: str) -> None:
    """Give the schedules and webhooks of a user to another."""
    owner = {"owner": f"user {new}"}
    for table in (schedules, webhooks):
        own = table.c.owner == f"user {old}"
        connection.execute(update(table).where(own).values(**owner, user=new))
    own = deliveries.c.owner == f"user {old}"
    connection.execute(update(deliveries).where(own).values(**owner))


def _stop_schedules(connection: Connection, names: Collection[str]) -> None:
    """Pause the schedules of removed services; they say why."""
    values = {"next": None, "reason": "The service was removed.", "changed": time.time()}
    connection.execute(update(schedules).where(schedules.c.service.in_(names)).values(values))


def _forget_lanes(connection: Connection, user: str) -> None:
    names = (f"user {user}", f"user {user} batch")
    connection.execute(delete(job_lanes).where(job_lanes.c.owner.in_(names)))


def _revoke_keys(connection: Connection, owner: str) -> None:
    now = time.time()
    valid = (api_keys.c.owner == owner) & api_keys.c.revoked.is_(None)
    connection.execute(update(api_keys).where(valid).values(revoked=now, changed=now))


def _change_keys(connection: Connection, rename: Callable[[str], str | None]) -> None:
    """Rename the services of all API keys; revoke a key that has none left."""
    query = select(api_keys.c.id, api_keys.c.services).where(api_keys.c.revoked.is_(None))
    now = time.time()
    for row in connection.execute(query).all():
        changed = [new for name in row.services if (new := rename(name)) is not None]
        if changed == row.services:
            continue
        values: dict[str, Any] = {"changed": now}
        values |= {"services": changed} if changed else {"revoked": now}
        connection.execute(update(api_keys).where(api_keys.c.id == row.id).values(**values))


def _nothing(connection: Connection, names: Collection[str]) -> None:
    """Leave the rows."""


MOVES: dict[str, Move] = {
    "versions": _move_versions,  # those of provenance follow
    "provenance": lambda *_: None,
    "promotions": _rename(promotions),
    "credentials": credentials.move,
    "call_records": lambda connection, old, new, _: recordings.rename_service(connection, old, new),
    "comparisons": lambda connection, old, new, _: comparisons.rename_service(connection, old, new),
    "jobs": _move_jobs,
    "service_limits": _move_limits,
    "call_usage": _move_usage,
    "schedules": _rename(schedules),
    "webhooks": _rename(webhooks),
}
"""How a table's rows of a service get its new name."""

REMOVALS: dict[str, Removal] = {
    "promotions": _remove(promotions),
    "versions": _remove(versions),  # those of provenance follow
    "provenance": _nothing,
    "credentials": lambda connection, names: credentials.remove_for(connection, list(names)),
    "call_records": recordings.delete_of_services,
    "comparisons": comparisons.delete_of_services,
    "jobs": _nothing,  # of those who submitted them; the active process ends them
    "service_limits": _remove(service_limits),
    "call_usage": _nothing,
    "schedules": _stop_schedules,
    "webhooks": _nothing,  # of those who submitted jobs, which end with an error
}
"""How a table's rows of removed services are deleted."""
