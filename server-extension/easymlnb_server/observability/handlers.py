"""Health checks. They are open to everyone, so they report no more than a status."""

from jupyter_server.auth.decorator import allow_unauthenticated

from easymlnb_server.http.base import EasyHandler
from easymlnb_server.openapi.document import JSON, Operation
from easymlnb_server.resources import Health


class LiveHandler(EasyHandler):
    """``GET health/live``: the process answers."""

    @allow_unauthenticated
    def get(self) -> None:
        self.write_json(Health(status="ok"))


class ReadyHandler(EasyHandler):
    """``GET health/ready``: published services are served from here."""

    @allow_unauthenticated
    def get(self) -> None:
        ready = self.state.published.ready and not self.state.services.draining
        self.write_json(Health(status="ok" if ready else "not_ready"), 200 if ready else 503)


OPERATIONS = (
    Operation(
        method="get",
        path="/health/live",
        id="getLive",
        tag="Health",
        summary="Check whether the server runs",
        answers={200: ("It runs.", {JSON: Health})},
        open=True,
    ),
    Operation(
        method="get",
        path="/health/ready",
        id="getReady",
        tag="Health",
        summary="Check whether the server accepts calls",
        answers={200: ("It accepts calls.", {JSON: Health})},
        errors=(503,),
        open=True,
    ),
)
