"""Whether the server lives and can be given calls. Open to everybody, so they say no more."""

from jupyter_server.auth.decorator import allow_unauthenticated

from easymlnb_server.handlers.base import EasyHandler


class LiveHandler(EasyHandler):
    """``GET health/live``: the process answers."""

    @allow_unauthenticated
    def get(self) -> None:
        self.write_json({"status": "ok"})


class ReadyHandler(EasyHandler):
    """``GET health/ready``: published services are served from here."""

    @allow_unauthenticated
    def get(self) -> None:
        ready = self.state.publications.ready and not self.state.services.draining
        self.write_json({"status": "ok" if ready else "not_ready"}, 200 if ready else 503)
