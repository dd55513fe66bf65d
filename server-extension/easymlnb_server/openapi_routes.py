"""The fixed routes as data: what each takes, answers and can fail with.

``openapi.document`` writes them out; a route of ``routes.py`` without an entry here fails a test.
"""

from dataclasses import dataclass

from easymlnb.contract.replacing import AUTO, CHOICES
from easymlnb_server.openapi_access import ACCESS
from easymlnb_server.openapi_bundles import BUNDLES
from easymlnb_server.openapi_schemas import (
    BYTES,
    HTML,
    JSON,
    LISTING,
    TEXT,
    Schema,
    list_of,
    ref,
)
from easymlnb_server.openapi_uploads import UPLOADS

ANYWHERE = (401, 403, 500)
"""Statuses that every route can answer with."""
CALLING = (400, 404, 406, 409, 413, 415, 422, 503, 504)
"""Statuses that every way to call a service can answer with, besides ``ANYWHERE``."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path; ``answers`` maps a status to (sentence, {media type: schema})."""

    method: str
    path: str
    id: str
    tag: str
    summary: str
    answers: dict[int, tuple[str, dict[str, Schema]]]
    errors: tuple[int, ...] = ()
    body: dict[str, Schema] | None = None
    query: tuple[Schema, ...] = ()
    description: str = ""
    open: bool = False
    """Answered without credentials."""


_CALLED = {200: ("The result.", {JSON: {}, "text/event-stream": TEXT})}
_VIEWED = {
    200: ("The result in parts for display.", {JSON: ref("View"), "text/event-stream": TEXT})
}
_BODY: dict[str, Schema] = {JSON: {"type": "object"}, "multipart/form-data": {"type": "object"}}
_NAMES: Schema = {
    "name": "name",
    "in": "query",
    "description": "Publish only this service of the notebook; may be repeated.",
    "schema": list_of(TEXT),
    "explode": True,
}
_REPLACE: Schema = {
    "name": "replace",
    "in": "query",
    "description": "What happens to the previous version while the new one starts. `auto` ends "
    "its workers only if the new version has no other capacity, `in_place` always ends them, and "
    "`wait` waits for other capacity. If the new version fails, the previous one starts again.",
    "schema": {**TEXT, "enum": list(CHOICES), "default": AUTO},
}
PICTURES = ("image/webp", "image/png", "image/jpeg")
_OPENAPI = {200: ("This document.", {JSON: {"type": "object"}})}
_LIVE = "As without `/live`, but runs in the author's kernel in its current state."

ROUTES: tuple[Route, ...] = (
    Route(
        "get",
        "/services",
        "listServices",
        "Services",
        "List services",
        {200: ("All services that you can call.", {JSON: ref("ServiceList")})},
        (400,),
        query=LISTING,
    ),
    Route(
        "post",
        "/services",
        "publishBundle",
        "Publish",
        "Publish a notebook",
        {
            200: ("This content is already published.", {JSON: ref("Published")}),
            202: ("Accepted; `Location` is the URL of the status.", {JSON: ref("Published")}),
        },
        (400, 413, 415, 503, 507),
        {"application/zip": BYTES},
        (_NAMES, _REPLACE),
    ),
    Route(
        "get",
        "/services/{name}",
        "getService",
        "Services",
        "Describe a service",
        {200: ("Its schema, metadata and state.", {JSON: ref("Service")})},
        (404,),
    ),
    Route(
        "delete",
        "/services/{name}",
        "removeService",
        "Services",
        "Remove a service",
        {204: ("All versions are removed; their workers stop.", {})},
        (404, 503),
    ),
    Route(
        "post", "/services/{name}/call", "call", "Call", "Call a service", _CALLED, CALLING, _BODY
    ),
    Route(
        "post",
        "/services/{name}/view",
        "view",
        "Call",
        "Call a service for display",
        _VIEWED,
        CALLING,
        _BODY,
    ),
    Route(
        "post",
        "/services/{name}/live/call",
        "callLive",
        "Call",
        "Call the live service",
        _CALLED,
        CALLING,
        _BODY,
        description=_LIVE,
    ),
    Route(
        "post",
        "/services/{name}/live/view",
        "viewLive",
        "Call",
        "Call the live service for display",
        _VIEWED,
        CALLING,
        _BODY,
        description=_LIVE,
    ),
    Route(
        "delete",
        "/calls/{request_id}",
        "stopCall",
        "Call",
        "Stop one of your calls",
        {204: ("The call is being stopped; its caller gets `cancelled`.", {})},
        (404,),
        description="The id is the `X-Request-Id` of the call's request or response.",
    ),
    Route(
        "get",
        "/services/{name}/log",
        "getLog",
        "Services",
        "Show a service's log",
        {200: ("The last 200 calls, newest last.", {JSON: ref("Log")})},
        (404,),
    ),
    Route(
        "get",
        "/services/{name}/versions",
        "listVersions",
        "Services",
        "List the versions",
        {200: ("All published versions.", {JSON: ref("Versions")})},
        (404,),
    ),
    Route(
        "get",
        "/services/{name}/openapi.json",
        "getServiceOpenapi",
        "Documents",
        "Describe one service in OpenAPI",
        _OPENAPI,
        (404,),
    ),
    Route(
        "get",
        "/services/{name}/page",
        "getServicePage",
        "Documents",
        "Open a service's page",
        {200: ("An HTML page.", HTML)},
        (404,),
    ),
    Route(
        "get",
        "/services/{name}/metadata",
        "getMetadata",
        "Services",
        "Show a service's metadata",
        {200: ("In the formats of several catalogs.", {JSON: ref("Described")})},
        (404,),
    ),
    Route(
        "get",
        "/services/{name}/thumbnail",
        "getThumbnail",
        "Services",
        "Download a service's thumbnail",
        {200: ("A small image.", dict.fromkeys(PICTURES, BYTES))},
        (404,),
    ),
    Route(
        "get",
        "/openapi.json",
        "getOpenapi",
        "Documents",
        "Describe the whole API in OpenAPI",
        _OPENAPI,
    ),
    Route(
        "get",
        "/docs",
        "getDocs",
        "Documents",
        "Open the API documentation",
        {200: ("An HTML page.", HTML)},
    ),
    Route(
        "get",
        "/",
        "getCatalogue",
        "Documents",
        "Open the catalog",
        {200: ("An HTML page.", HTML)},
        (400,),
        query=LISTING[:-1],
    ),
    Route(
        "get",
        "/apps/{name}",
        "getApp",
        "Documents",
        "Open a service's app",
        {200: ("The app, or a page that waits for a free slot.", HTML)},
        (404, 503),
    ),
    Route(
        "get",
        "/public/{name}",
        "getPublicApp",
        "Documents",
        "Open a public service's app",
        {200: ("The app, or a page that waits for a free slot.", HTML)},
        (404, 503),
        open=True,
    ),
    Route(
        "get",
        "/placements",
        "listPlacements",
        "Services",
        "List placements",
        {200: ("Placements with their nodes and running kernels.", {JSON: ref("Placements")})},
    ),
    Route(
        "get",
        "/health/live",
        "getLive",
        "Health",
        "Check whether the server is alive",
        {200: ("The server is alive.", {JSON: ref("Health")})},
        open=True,
    ),
    Route(
        "get",
        "/health/ready",
        "getReady",
        "Health",
        "Check whether the server accepts calls",
        {200: ("The server accepts calls.", {JSON: ref("Health")})},
        (503,),
        open=True,
    ),
    Route(
        "get",
        "/link",
        "openLink",
        "Health",
        "Connect a kernel (WebSocket)",
        {101: ("Switched to a WebSocket.", {})},
        (400, 404, 503),
    ),
    *(Route(**one) for one in (*BUNDLES, *ACCESS, *UPLOADS)),
)
