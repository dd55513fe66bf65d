"""``easymlnb publish``: upload a notebook, show its progress, and where it failed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from easymlnb.cli import output
from easymlnb.contract.errors import EasyMLNBError
from easymlnb.contract.replacing import AUTO, check

if TYPE_CHECKING:
    from easymlnb.client.discovery import Server
    from easymlnb.client.sse import OnProgress
    from easymlnb.publishing.addresses import Addresses

SHOWN_FILES = 10
SHOWN_LINES = 30
"""Lines of a failed cell that are printed; its end is where most cells fail."""
WHERE = {"cell", "traceback", "notebook"}
"""Details of an error that say where a notebook failed."""
_STATES = {
    "starting": "Accepted. A worker runs the notebook and its examples ...",
    "ready": "Published.",
    "failed": "Publishing failed. The previous version stays online.",
}


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """What of a notebook is published, with which files, and what becomes of the former version."""

    names: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    requirements: Path | None = None
    replace: str = AUTO


def publish_and_show(
    notebook: Path,
    choice: PublishOptions,
    *,
    url: str | None = None,
    token: str | None = None,
    here: bool = False,
    json: bool = False,
    timeout: float = 600.0,
) -> None:
    """Publish and print what came of it.

    A notebook that does not get ready shows its cell and traceback and ends with 1; whatever
    else goes wrong is raised. An interrupt calls it off, says so and is raised.
    """
    from easymlnb.client import hub
    from easymlnb.publishing.bundle import make
    from easymlnb.publishing.bundle_upload import send

    check(choice.replace)
    # Where it goes is known before the work begins: a refusal comes at once.
    server = hub.server(url, token, here=here)
    made = make(
        notebook,
        names=choice.names,
        include=choice.include,
        exclude=choice.exclude,
        requirements=choice.requirements,
    )
    output.say(_summary(notebook.name, sorted(made.manifest.files), len(made.data)))
    for note in made.notes:
        output.say(output.clean(f"Note: {note}"))
    said: list[str] = []
    try:
        with output.progress("Starting") as told:
            status = send(
                made.data,
                names=choice.names,
                replace=choice.replace,
                url=server.url,
                token=server.token,
                timeout=timeout,
                on=lambda state: _tell(state, told, said),
            )
    except KeyboardInterrupt:
        # Its line of progress is gone from the terminal, and the last word with it.
        output.say("\n".join(["", *said[-1:]]))
        raise
    except EasyMLNBError as error:
        if not isinstance(error.details, Mapping) or not {*error.details} & WHERE:
            raise
        output.say("easymlnb: " + failure_text(error.message, error.details))
        if error.details.get("notebook"):
            path = f"{hub.address(server)}{error.details['notebook']}"
            output.say(output.clean(f"\nExecuted notebook: {path}"))
        if json:
            output.as_json(error.to_dict())
        raise typer.Exit(1) from error
    if json:
        output.as_json(_with_addresses(status, server))
    else:
        _show(status, server)
        if server.shared:
            output.say(f"On the Hub's shared service: {hub.address(server)}")


def _tell(state: str, told: "OnProgress | None", said: list[str]) -> None:
    """Show what is new; ``said`` collects what stands in a line of progress only."""
    text = _STATES.get(state, state)
    if told is None:
        output.say(text)
    else:
        told(-1.0, text)
        said.append(text)


def failure_text(message: str, details: Mapping[str, Any]) -> str:
    """Return why a notebook did not get ready, with cell and traceback, for a terminal."""
    source = str(details.get("source") or "").strip("\n").splitlines()
    left_out = [f"... ({len(source) - SHOWN_LINES} lines)"] if len(source) > SHOWN_LINES else []
    lines = [message, "", *(f"    {line}" for line in [*left_out, *source[-SHOWN_LINES:]])]
    trace = str(details.get("traceback") or "").rstrip().splitlines()
    example = [f"The example: {details['example']}"] if details.get("example") else []
    shown = [*lines, *([""] if trace else []), *trace]
    if example and "cell" in details:
        shown += ["", *example]
    return output.clean("\n".join(shown))


def _summary(notebook: str, files: list[str], size: int) -> str:
    more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
    shown = ", ".join(files[:SHOWN_FILES]) + more
    return output.clean(
        f"Publishing {notebook} ({size / 1000:,.0f} kB) with {shown or 'no other files'}."
    )


def _show(status: Mapping[str, Any], server: "Server") -> None:
    same = " (unchanged)" if status.get("unchanged") else ""
    for service in status["services"]:
        version = service.get("version")
        said = f"version {version}" if version is not None else "starting"
        output.say_out(f"{service['name']} {said}{same}")
        for line in _addresses(service, server).lines():
            output.say_out(line)


def _with_addresses(status: Mapping[str, Any], server: "Server") -> dict[str, Any]:
    services = [{**one, **asdict(_addresses(one, server))} for one in status["services"]]
    return {**status, "services": services}


def _addresses(service: Mapping[str, Any], server: "Server") -> "Addresses":
    from easymlnb.publishing import addresses

    name = str(service.get("full_name") or service["name"])
    return addresses.of(server, name, public=bool(service.get("public")))
