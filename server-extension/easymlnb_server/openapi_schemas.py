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


PUBLIC = "Whether visitors without a login can open the app, at `public/{name}`."

NAMED: dict[str, Schema] = {
    "name": TEXT,
    "full_name": {"type": "string", "description": "On a shared service `owner/name`."},
    "owner": TEXT,
    "public": {"type": "boolean", "description": PUBLIC},
    "shared": {"description": "Who can call the service; only for its owner, on a shared service."},
}

LISTING: tuple[Schema, ...] = (
    _asked("q", "Search terms that must all occur in names, texts, tags or authors.", TEXT),
    _asked("tag", "A required tag; may be repeated.", list_of(TEXT)),
    _asked("author", "The exact author.", TEXT),
    _asked("owner", "The exact owner.", TEXT),
    _asked(
        "whose",
        "Your own services, or those of others.",
        {"type": "string", "enum": ["mine", "others"]},
    ),
    _asked("input", "A required kind of input: `image`, `time series`, ...", TEXT),
    _asked("sort", "Order.", {"type": "string", "enum": ["name", "called", "newest"]}),
    _asked("start", "Number of services to skip.", COUNT),
    _asked("limit", "Maximum number of services; default: all.", {"type": "integer", "minimum": 1}),
)
"""What the catalogue can be asked for."""

SCHEMAS: dict[str, Schema] = {
    "Error": object_of(
        {
            "error": object_of(
                {
                    "code": {"type": "string", "description": "Stable and machine-readable."},
                    "message": {"type": "string", "description": "A sentence for people."},
                    "details": {
                        "description": "Additional data, such as the fields of a validation error."
                    },
                    "request_id": {
                        "type": "string",
                        "description": "The request's id in the service's log.",
                    },
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
                "description": "The current published version, if any.",
            },
            "live": {
                "type": "boolean",
                "description": "Whether an author's kernel runs the service now.",
            },
            "url": TEXT,
            "summary": {"type": "string", "description": "The purpose in one line."},
            "shape": {"type": "string", "description": "Inputs and output in words."},
            "inputs": {**list_of(TEXT), "description": "Kinds of inputs."},
            "called": {"type": ["string", "null"], "description": "Time of the last call."},
            "created": {
                "type": ["string", "null"],
                "description": "Time of publishing or going live.",
            },
            "thumbnail": {"type": ["string", "null"], "description": "URL of the thumbnail."},
        },
        optional=("shared", "description", "tags", "author", "url"),
    ),
    "ServiceList": object_of(
        {
            "services": list_of(ref("ServiceSummary")),
            "total": {**COUNT, "description": "Total number of matching services."},
            "next": {"type": ["string", "null"], "description": "URL of the next page, or null."},
        }
    ),
    "Access": object_of(
        {
            "users": list_of(TEXT),
            "groups": list_of(TEXT),
            "everyone": {"type": "boolean", "description": "All users who can log in."},
            "public": {
                "type": "boolean",
                "description": "Whether the app is public, without a login.",
            },
        },
        optional=("users", "groups", "everyone", "public"),
    ),
    "Me": object_of(
        {"name": TEXT, "groups": list_of(TEXT), "admin": {"type": "boolean"}}
        | {
            "shared": {
                "type": "boolean",
                "description": "Whether this server is a Hub's shared service.",
            }
        },
    ),
    "Described": object_of(
        {
            "metadata": {"type": "object", "description": "The author's metadata."},
            "deep": {"type": "object", "description": "DEEP's application schema v1."},
            "ai4os": {"type": "object", "description": "AI4OS's metadata schema v2.3.0."},
            "schema_org": {"type": "object", "description": "JSON-LD."},
            "missing": {
                "type": "object",
                "description": "Required fields without a value, by format.",
            },
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
            "accepts": {
                **list_of(TEXT),
                "description": "Media types that are accepted as the raw body.",
            },
            "produces": {
                **list_of(TEXT),
                "description": "Media types of the result, in addition to JSON.",
            },
            "stream": {
                "type": "boolean",
                "description": "Whether results are streamed one by one.",
            },
            "view": {
                "type": "boolean",
                "description": "Whether the author defined a view of the result.",
            },
            "timeout": {"type": "number", "description": "Maximum seconds per call."},
            "state": STATE,
            "version": NUMBER_OR_NONE,
            "live": {"type": "boolean"},
            "stats": ref("Stats"),
            "bundle": {"type": ["string", "null"]},
            "error": {"description": "Why the newest version failed to start."},
            "reason": {"type": "string", "description": "Why workers are missing."},
            "retry_in": {"type": "number", "description": "Seconds until the next attempt."},
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
            "calls": {**COUNT, "description": "Calls that ended."},
            "errors": {**COUNT, "description": "Calls that failed."},
            "stopped": {
                **COUNT,
                "description": "Calls whose callers stopped them or disconnected.",
            },
            "refused": {**COUNT, "description": "Calls that were refused."},
            "p50": {**SECONDS, "description": "Median seconds of recent calls."},
            "p95": {**SECONDS, "description": "95th percentile of recent calls in seconds."},
            "waiting": {**COUNT, "description": "Calls in the queue now."},
            "running": {**COUNT, "description": "Calls running in a worker now."},
            "workers": {
                **NUMBER_OR_NONE,
                "description": "Number of workers; null for a live service.",
            },
            "workers_wanted": NUMBER_OR_NONE,
            "restarts": {**NUMBER_OR_NONE, "description": "Workers that were lost and replaced."},
            "memory_bytes": {**NUMBER_OR_NONE, "description": "Resident memory of all workers."},
        }
    ),
    "Log": object_of(
        {
            "entries": list_of(
                object_of(
                    {
                        "time": {},
                        "request_id": TEXT,
                        "version": {"description": "A version number, or 'live'."},
                        "status": {"type": "integer"},
                        "seconds": {"type": "number"},
                        "log": {"type": "string", "description": "The call's printed output."},
                        "trace": {
                            "description": "The traceback, if the function raised an exception."
                        },
                        "code": {
                            "type": "string",
                            "description": "The error code; empty without an error.",
                        },
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
                        "bundle": {"type": "string", "description": "Only for the owner."},
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
            "reason": {"type": "string", "description": "What the start waits for."},
            "unchanged": {
                "type": "boolean",
                "description": "Whether this content was already published.",
            },
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
                "description": "Why publishing failed: code, message, cell and traceback.",
            },
            "notebook": {"type": "string", "description": "Path of the executed notebook."},
            "reason": {"type": "string", "description": "What the start waits for."},
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
            "result": {"description": "The JSON result, or null if it is large."},
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
                        "error": {"type": "string", "description": "Why the nodes are unknown."},
                    },
                    optional=("error",),
                )
            )
        }
    ),
    "Health": object_of({"status": {"type": "string", "enum": ["ok", "not_ready"]}}),
}

# headers of a call
