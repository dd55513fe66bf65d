"""``easymlnb webhooks``: tell programs and people when jobs end."""

import time
from typing import Annotated, Any

import typer

from easymlnb.cli import output
from easymlnb.cli.clients import first_client
from easymlnb.cli.options import ANY_SERVER, CommandTarget

app = typer.Typer(
    help="Call URLs, or send mail, when your jobs end.",
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(help="The webhook's ID.", metavar="ID")]


@app.command("list")
@ANY_SERVER
def list_webhooks(target: CommandTarget) -> None:
    """List your webhooks, newest first."""
    with first_client(target) as client:
        found = client.admin.webhooks()
    if target.json:
        output.as_json(found)
    elif not found:
        output.message("No webhooks. Add one: easymlnb webhooks add https://...")
    else:
        columns = {"id": "ID", "url": "URL", "service": "SERVICE", "events": "EVENTS"}
        shown = ({**one, "events": ", ".join(one["events"])} for one in found)
        output.table(shown, {**columns, "disabled": "DISABLED"})


@app.command()
@ANY_SERVER
def add(
    target: CommandTarget,
    to: Annotated[str, typer.Argument(help="https://..., or mailto:ADDRESS.", metavar="URL")],
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            help="job.succeeded, job.failed, job.cancelled or job.preempted; may be repeated.",
        ),
    ] = None,
    service: Annotated[str, typer.Option(help="Only jobs of this service.")] = "",
) -> None:
    """Add a webhook, and print its secret: it is not shown again."""
    from easymlnb.client.admin_jobs import ENDS

    with first_client(target) as client:
        made = client.admin.create_webhook(to, events=event or ENDS, service=service)
    _show_secret(target, made)


@app.command()
@ANY_SERVER
def rotate(target: CommandTarget, id: Id) -> None:
    """Create a new secret and print it; the previous one also signs for another day."""
    with first_client(target) as client:
        _show_secret(target, client.admin.rotate_webhook(id))


@app.command()
@ANY_SERVER
def test(target: CommandTarget, id: Id) -> None:
    """Send a test to a webhook, and print the delivery's ID."""
    with first_client(target) as client:
        _show_delivery(target, client.admin.test_webhook(id))


@app.command()
@ANY_SERVER
def remove(target: CommandTarget, id: Id) -> None:
    """Remove a webhook with its deliveries."""
    with first_client(target) as client:
        client.admin.remove_webhook(id)
    if target.json:
        output.as_json({"removed": id})
    else:
        output.message(f"Removed {id}.")


@app.command()
@ANY_SERVER
def deliveries(
    target: CommandTarget,
    job: Annotated[str, typer.Option(help="Only those of this job.")] = "",
    webhook: Annotated[str, typer.Option(help="Only those to this webhook.")] = "",
    state: Annotated[str, typer.Option(help="Only pending, delivered or failed ones.")] = "",
) -> None:
    """List what was sent to your webhooks, newest first."""
    with first_client(target) as client:
        found = client.admin.deliveries(job=job, webhook=webhook, state=state)
    if target.json:
        output.as_json(found)
    elif not found:
        output.message("No deliveries.")
    else:
        columns = {"id": "ID", "event": "EVENT", "job": "JOB", "state": "STATE", "tries": "TRIES"}
        shown = ({**one, "following": _moment(one["next"])} for one in found)
        output.table(shown, {**columns, "following": "NEXT TRY", "error": "ERROR"})


@app.command()
@ANY_SERVER
def retry(
    target: CommandTarget,
    id: Annotated[str, typer.Argument(help="The delivery's ID.", metavar="ID")],
) -> None:
    """Send a failed delivery again now."""
    with first_client(target) as client:
        _show_delivery(target, client.admin.retry_delivery(id))


def _show_secret(target: CommandTarget, webhook: dict[str, Any]) -> None:
    if target.json:
        output.as_json(webhook)
        return
    if secret := webhook.get("secret"):
        output.line(secret)
        output.message(f"The secret of {webhook['id']}. Store it now: it is not shown again.")
    else:
        output.message(f"Added {webhook['id']}.")


def _show_delivery(target: CommandTarget, delivery: dict[str, Any]) -> None:
    if target.json:
        output.as_json(delivery)
    else:
        output.line(delivery["id"])


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
