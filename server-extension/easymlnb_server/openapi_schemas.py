"""The shapes that the fixed routes answer with, as JSON Schema."""

from typing import Any

JSON = "application/json"
Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """Return a reference to the component schema ``name``."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def object_of(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


TEXT: Schema = {"type": "string"}
HTML: dict[str, Schema] = {"text/html": TEXT}
BYTES: Schema = {"type": "string", "format": "binary"}
STATE: Schema = {
    "type": "string",
    "enum": ["live", "ready", "starting", "failed", "busy", "asleep"],
}
COUNT: Schema = {"type": "integer", "minimum": 0}
SECONDS: Schema = {"type": ["number", "null"]}
NUMBER_OR_NONE: Schema = {"type": ["integer", "null"]}


def _asked(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema}


PUBLIC = "Whether visitors without a login may open its app, at `public/{name}`."

NAMED: dict[str, Schema] = {
    "name": TEXT,
    "full_name": {"type": "string", "description": "On a shared service `owner/name`."},
    "owner": TEXT,
    "public": {"type": "boolean", "description": PUBLIC},
    "shared": {"description": "Who may call it; for its owner, on a shared service."},
}

LISTING: tuple[Schema, ...] = (
    _asked("q", "Words that must all be there: in names, texts, tags, authors.", TEXT),
    _asked("tag", "A tag that must be there; may be repeated.", list_of(TEXT)),
    _asked("author", "Its author, exactly.", TEXT),
    _asked("owner", "Whose service it must be.", TEXT),
    _asked("whose", "Seen from you.", {"type": "string", "enum": ["mine", "others"]}),
    _asked("input", "A kind of value that it must take: `image`, `time series`, ...", TEXT),
    _asked("sort", "Order.", {"type": "string", "enum": ["name", "called", "newest"]}),
    _asked("start", "How many to leave out before the first.", COUNT),
    _asked("limit", "How many at most; default: all.", {"type": "integer", "minimum": 1}),
)
"""What the catalogue can be asked for."""

SCHEMAS: dict[str, Schema] = {
    "Error": object_of(
        {
            "error": object_of(
                {
                    "code": {"type": "string", "description": "Stable and machine-readable."},
                    "message": {"type": "string", "description": "One sentence for people."},
                    "details": {"description": "More about it; fields of a validation error."},
                    "request_id": {"type": "string", "description": "Quote it to the author."},
                },
                optional=("details",),
            )
        }
    ),
    "ServiceSummary": object_of(
        {
            **NAMED,
            "title": TEXT,
            "description": TEXT,
            "tags": list_of(TEXT),
            "author": TEXT,
            "state": STATE,
            "version": {
                **NUMBER_OR_NONE,
                "description": "The published version that answers, if any.",
            },
            "live": {"type": "boolean", "description": "An author's kernel serves it now."},
            "url": TEXT,
            "summary": {"type": "string", "description": "What it is for, in one line."},
            "shape": {"type": "string", "description": "What goes in and comes out, in words."},
            "inputs": {**list_of(TEXT), "description": "Kinds of values that it takes."},
            "called": {"type": ["string", "null"], "description": "Time of the last call."},
            "created": {"type": ["string", "null"], "description": "Published, or made live."},
            "thumbnail": {"type": ["string", "null"], "description": "Where its picture is."},
        },
        optional=("shared", "description", "tags", "author", "url"),
    ),
    "ServiceList": object_of(
        {
            "services": list_of(ref("ServiceSummary")),
            "total": {**COUNT, "description": "How many fit in all."},
            "next": {"type": ["string", "null"], "description": "Where the list goes on, or null."},
        }
    ),
    "Access": object_of(
        {
            "users": list_of(TEXT),
            "groups": list_of(TEXT),
            "everyone": {"type": "boolean", "description": "Everybody who can log in."},
            "public": {"type": "boolean", "description": "Its page, also without a login."},
        },
        optional=("users", "groups", "everyone", "public"),
    ),
    "Me": object_of(
        {"name": TEXT, "groups": list_of(TEXT), "admin": {"type": "boolean"}}
        | {"shared": {"type": "boolean", "description": "Whether it is a Hub's shared service."}},
    ),
    "Described": object_of(
        {
            "metadata": {"type": "object", "description": "What the author said."},
            "deep": {"type": "object", "description": "DEEP's application schema v1."},
            "ai4os": {"type": "object", "description": "AI4OS's metadata schema v2.3.0."},
            "schema_org": {"type": "object", "description": "JSON-LD."},
            "missing": {"type": "object", "description": "Fields that a schema wants, unsaid."},
        }
    ),
    "Service": object_of(
        {
            **NAMED,
            "title": TEXT,
            "input": {"type": "object", "description": "JSON Schema of the parameters."},
            "output": {"type": "object", "description": "JSON Schema of the result."},
            "description": TEXT,
            "tags": list_of(TEXT),
            "author": TEXT,
            "license": TEXT,
            "examples": list_of({"type": "object"}),
            "accepts": {**list_of(TEXT), "description": "Media types read raw, as the whole body."},
            "produces": {**list_of(TEXT), "description": "Media types to ask for beside JSON."},
            "stream": {"type": "boolean", "description": "Results come one by one."},
            "view": {"type": "boolean", "description": "Its author shaped what people see."},
            "timeout": {"type": "number", "description": "Seconds a call may take."},
            "state": STATE,
            "version": NUMBER_OR_NONE,
            "live": {"type": "boolean"},
            "stats": ref("Stats"),
            "bundle": {"type": ["string", "null"]},
            "error": {"description": "Why the newest version did not start."},
            "reason": {"type": "string", "description": "Why workers that are wanted are missing."},
            "retry_in": {"type": "number", "description": "Seconds to the next attempt."},
        },
        optional=(
            "shared",
            "stats",
            "description",
            "tags",
            "author",
            "license",
            "examples",
            "accepts",
            "produces",
            "stream",
            "view",
            "timeout",
            "bundle",
            "error",
            "reason",
            "retry_in",
        ),
    ),
    "Stats": object_of(
        {
            "calls": {**COUNT, "description": "Calls that have ended."},
            "errors": {**COUNT, "description": "Those of them that ended in an error."},
            "stopped": {**COUNT, "description": "Those that their callers stopped or left."},
            "refused": {**COUNT, "description": "Calls that were not accepted."},
            "p50": {**SECONDS, "description": "Half of the last calls took no longer."},
            "p95": {**SECONDS, "description": "95 % of the last calls took no longer."},
            "waiting": {**COUNT, "description": "Calls in line now."},
            "running": {**COUNT, "description": "Calls in a worker now."},
            "workers": {**NUMBER_OR_NONE, "description": "Null when a notebook answers."},
            "workers_wanted": NUMBER_OR_NONE,
            "restarts": {**NUMBER_OR_NONE, "description": "Workers lost and replaced."},
            "memory_bytes": {**NUMBER_OR_NONE, "description": "Resident, of all its workers."},
        }
    ),
    "Log": object_of(
        {
            "entries": list_of(
                object_of(
                    {
                        "time": {},
                        "request_id": TEXT,
                        "version": {"description": "A number, or 'live'."},
                        "status": {"type": "integer"},
                        "seconds": {"type": "number"},
                        "log": {"type": "string", "description": "What the call printed."},
                        "trace": {"description": "The traceback, when the function raised."},
                        "code": {"type": "string", "description": "The error's; empty for none."},
                        "outcome": {"type": "string", "enum": ["answered", "stopped", "error"]},
                    },
                    optional=("log", "trace"),
                )
            )
        }
    ),
    "Versions": object_of(
        {
            "versions": list_of(
                object_of(
                    {
                        "version": {"type": "integer"},
                        "bundle": {"type": "string", "description": "For its owner only."},
                        "created": {},
                        "current": {"type": "boolean"},
                    },
                    optional=("bundle",),
                )
            )
        }
    ),
    "Published": object_of(
        {
            "bundle": TEXT,
            "state": {"type": "string", "enum": ["starting", "ready", "failed"]},
            "services": list_of(object_of({"name": TEXT, "version": {"type": "integer"}})),
            "reason": {"type": "string", "description": "What its start waits for."},
            "unchanged": {"type": "boolean", "description": "This content was published before."},
        },
        optional=("services", "reason", "unchanged"),
    ),
    "Bundle": object_of(
        {
            "bundle": TEXT,
            "state": {"type": "string", "enum": ["starting", "ready", "failed"]},
            "services": list_of(
                object_of(
                    {
                        "name": TEXT,
                        "full_name": TEXT,
                        "version": NUMBER_OR_NONE,
                        "public": {"type": "boolean", "description": PUBLIC},
                    },
                    ("version", "public"),
                )
            ),
            "error": {
                "type": ["object", "null"],
                "description": "Why it failed: code, message, and the cell with its traceback.",
            },
            "notebook": {"type": "string", "description": "Path of the executed notebook."},
            "reason": {"type": "string", "description": "What its start waits for."},
            "created": {},
            "files": list_of(TEXT),
            "requirements": list_of(TEXT),
            "environment": {"type": "object"},
        },
        optional=(
            *("error", "notebook", "reason", "created", "files", "requirements", "environment"),
        ),
    ),
    "View": object_of(
        {
            "parts": list_of(
                {
                    "type": "object",
                    "required": ["kind"],
                    "properties": {"kind": TEXT, "title": TEXT, "data": {}},
                }
            ),
            "result": {"description": "The JSON result, or null when it is large."},
        },
        optional=("result",),
    ),
    "Placements": object_of(
        {
            "placements": list_of(
                object_of(
                    {
                        "name": TEXT,
                        "nodes": list_of({"type": "object"}),
                        "error": {"type": "string", "description": "Why they are not known."},
                    },
                    optional=("error",),
                )
            )
        }
    ),
    "Health": object_of({"status": {"type": "string", "enum": ["ok", "not_ready"]}}),
}

# headers of a call
