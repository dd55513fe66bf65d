"""The tools that clients see: services, jobs and uploads."""

import shlex
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from easymlnb.contract.spec import ServiceSpec
from easymlnb_server.identity.names import slug
from easymlnb_server.jobs.models import STATES
from easymlnb_server.protocols.mcp import schemas
from easymlnb_server.protocols.mcp.models import Revision

MAX_NAME = 128
"""Characters of a tool's name."""

START = "_start"
"""End of the name of the tool that starts a job of a service."""

LONG_TIMEOUT = 60.0
"""Seconds that clients wait for a tool: services that may take longer also run as jobs."""

MAX_WAIT = 50.0
"""Maximum seconds that ``job_status`` waits."""

Definition = dict[str, Any]


def tool_name(service: str) -> str:
    """Return the name of a service's tool: ``alice.segment`` for ``alice/segment``."""
    name = slug(service)
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 17]}.{sha256(name.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Tool:
    """The tool of a service. All of it depends on the service's ``spec`` only."""

    spec: ServiceSpec
    name: str
    view: bool
    """Whether calls ask for the view of the result."""
    takes_files: bool
    runs_as_job: bool
    """Whether there is a tool that starts a job."""
    wrap: bool | None
    """Whether results are put into an object for clients that expect one; see ``Writer``."""
    definitions: dict[str, Definition] = field(repr=False)
    """What ``tools/list`` has: by ``current``, ``objects`` and ``plain``."""

    @classmethod
    def of(cls, spec: ServiceSpec) -> "Tool":
        name = tool_name(spec.name)
        output = schemas.output_schema(spec)
        plain = _definition(spec, name)
        objects = current = plain
        if output is not None:
            objects = {**plain, "outputSchema": schemas.object_schema(output)}
            current = {**plain, "outputSchema": output}
        long = spec.on_timeout == "job" or spec.timeout > LONG_TIMEOUT
        return cls(
            spec=spec,
            name=name,
            view=schemas.has_view(spec),
            takes_files=schemas.takes_files(spec),
            runs_as_job=long and not spec.stream,
            wrap=None if output is None else not schemas.is_object(output),
            definitions={"current": current, "objects": objects, "plain": plain},
        )

    def definition(self, revision: Revision) -> Definition:
        """Return what a client's list of tools has."""
        if revision.current:
            return self.definitions["current"]
        return self.definitions["objects" if revision.structured else "plain"]

    def start_definition(self) -> Definition:
        """Return the tool that starts a job of the service."""
        about = (
            f"Start {self.name} as a job, for calls that take long. Returns the job's id at once; "
            "job_status has its progress and its result."
        )
        return {
            **self.definitions["plain"],
            "name": self.name + START,
            "title": f"{self.spec.title} (start as a job)",
            "description": f"{about}\n\n{self.spec.description}".strip(),
            "outputSchema": JOB_SCHEMA,
        }


def _definition(spec: ServiceSpec, name: str) -> Definition:
    about = spec.description or spec.title
    if spec.stream:
        about += "\n\nReturns a list; its items are reported as progress."
    return {
        "name": name,
        "title": spec.title,
        "description": about,
        "inputSchema": schemas.input_schema(spec),
        "annotations": {
            "title": spec.title,
            "idempotentHint": spec.resources.idempotent,
            "destructiveHint": False,
        },
    }


JOB_SCHEMA: Definition = {
    "type": "object",
    "properties": {
        "job_id": {"type": "string"},
        "state": {"type": "string", "description": ", ".join(STATES)},
        "progress": {"type": "number", "description": "From 0 to 1."},
        "message": {"type": "string", "description": "What the job does, or waits for."},
        "result": {"description": "The result of a job that succeeded."},
    },
    "required": ["job_id", "state"],
}

_JOB_ID = {"type": "string", "description": "The id that the tool *_start returned."}

JOB_STATUS: Definition = {
    "name": "job_status",
    "title": "Status of a job",
    "description": (
        "Return the state, the progress and, at the end, the result of a job. Waits up to `wait` "
        "seconds for the end; call it again while the state is queued or running."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {
            "job_id": _JOB_ID,
            "wait": {"type": "number", "minimum": 0, "maximum": MAX_WAIT, "default": 20},
        },
        "required": ["job_id"],
        "additionalProperties": False,
    },
    "outputSchema": JOB_SCHEMA,
    "annotations": {"title": "Status of a job", "readOnlyHint": True},
}

JOB_CANCEL: Definition = {
    "name": "job_cancel",
    "title": "Cancel a job",
    "description": "Cancel a job that has not ended.",
    "inputSchema": {
        "type": "object",
        "properties": {"job_id": _JOB_ID},
        "required": ["job_id"],
        "additionalProperties": False,
    },
    "outputSchema": JOB_SCHEMA,
    "annotations": {"title": "Cancel a job", "idempotentHint": True},
}

BEGIN_UPLOAD: Definition = {
    "name": "begin_upload",
    "title": "Upload a file",
    "description": (
        "Prepare the upload of a file for a tool that takes files, and return the commands that "
        "send it. Small files can be arguments themselves, as base64 text or a data URI."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {
            "tool": {"type": "string", "description": "The tool that will use the file."},
            "parameter": {"type": "string", "description": "The parameter that it is for."},
            "name": {"type": "string", "description": "The file's name, such as x.csv."},
            "size": {"type": "integer", "minimum": 0, "description": "The file's size in bytes."},
        },
        "required": ["tool", "name", "size"],
        "additionalProperties": False,
    },
    "outputSchema": {
        "type": "object",
        "properties": {
            "argument": {"type": "object", "description": "What to pass as the parameter."},
            "url": {"type": "string"},
            "commands": {"type": "string"},
        },
        "required": ["argument", "url", "commands"],
    },
    "annotations": {"title": "Upload a file", "destructiveHint": False},
}


def for_revision(definition: Definition, revision: Revision) -> Definition:
    """Return a tool as a client understands it: older ones know no schema of results."""
    if revision.structured or "outputSchema" not in definition:
        return definition
    return {key: value for key, value in definition.items() if key != "outputSchema"}


def upload_commands(url: str, name: str, chunk: int) -> str:
    """Return shell commands that send a file of any size to an upload."""
    return (
        f'f={shlex.quote(name)}; size=$(wc -c < "$f"); at=0\n'
        'while [ "$at" -lt "$size" ]; do\n'
        f'  tail -c +$((at + 1)) "$f" | head -c {chunk} | curl -sS --fail-with-body -X PUT \\\n'
        '    -H "Authorization: Bearer $EASYMLNB_TOKEN" --data-binary @- \\\n'
        f'    "{url}?offset=$at" || break\n'
        f"  at=$((at + {chunk}))\n"
        "done\n"
    )
