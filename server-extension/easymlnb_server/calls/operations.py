"""What the OpenAPI document says about calls."""

from typing import Any

from easymlnb_server.jobs.models import JobAccepted
from easymlnb_server.openapi.document import CALLING, JSON, TEXT, Operation, ok
from easymlnb_server.openapi.headers import CALL
from easymlnb_server.openapi.schemas import View

_RESULT = ok("The result itself.", {JSON: {}, "text/event-stream": TEXT}) | ok(
    "With `Prefer`, or where the service allows it: the call continues as a job.", JobAccepted, 202
)
_VIEW = ok("What a person should see.", {JSON: View, "text/event-stream": TEXT})
_CALL: dict[str, Any] = {
    "tag": "Call",
    "body": {JSON: {"type": "object"}, "multipart/form-data": {"type": "object"}},
    "headers": CALL,
}
_PINNED = (
    "`{version}` is a number or an alias. A version without traffic gets a worker first, which "
    "takes as long as its notebook runs."
)
_LIVE = "As without `/live`, but the author's kernel answers, with its current code."

OPERATIONS = {
    "POST /services/{name}/call": Operation("call", "Call a service", _RESULT, CALLING, **_CALL),
    "POST /services/{name}/view": Operation(
        "view", "Call a service for a person", _VIEW, CALLING, **_CALL
    ),
    "POST /services/{name}/versions/{version}/call": Operation(
        "callVersion", "Call a version of a service", _RESULT, CALLING, description=_PINNED, **_CALL
    ),
    "POST /services/{name}/versions/{version}/view": Operation(
        "viewVersion",
        "Call a version of a service for a person",
        _VIEW,
        CALLING,
        description=_PINNED,
        **_CALL,
    ),
    "POST /services/{name}/live/call": Operation(
        "callLive", "Call the live service", _RESULT, CALLING, description=_LIVE, **_CALL
    ),
    "POST /services/{name}/live/view": Operation(
        "viewLive", "Call the live service for a person", _VIEW, CALLING, description=_LIVE, **_CALL
    ),
}
