"""The routes of who may call a service as data, as ``openapi_routes`` has the others."""

from typing import Any

from easymlnb_server.openapi_schemas import JSON, ref

_SHARED = "Only on the shared service of a Hub; a server of one's own answers `not_shared`."

ACCESS: tuple[dict[str, Any], ...] = (
    {
        "method": "get",
        "path": "/me",
        "id": "getMe",
        "tag": "Services",
        "summary": "See who you are here",
        "answers": {200: ("Your name, groups and rights.", {JSON: ref("Me")})},
    },
    {
        "method": "get",
        "path": "/services/{name}/access",
        "id": "getAccess",
        "tag": "Services",
        "summary": "See who may call a service of yours",
        "answers": {200: ("Who may, beside you and administrators.", {JSON: ref("Access")})},
        "errors": (404, 409),
        "description": _SHARED,
    },
    {
        "method": "put",
        "path": "/services/{name}/access",
        "id": "setAccess",
        "tag": "Services",
        "summary": "Set who may call a service of yours",
        "answers": {200: ("What holds from now on.", {JSON: ref("Access")})},
        "errors": (400, 404, 409, 413, 503),
        "body": {JSON: ref("Access")},
        "description": _SHARED,
    },
)
