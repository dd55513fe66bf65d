"""A receiver of webhooks: a real HTTP server on this machine that answers as it is asked to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.http_server import Answering, serving


@dataclass
class Receiver:
    """``answers`` are the statuses of the next responses; then each one is 204."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    messages: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.messages]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(Answering):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.answers.pop(0) if receiver.answers else 204
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.messages.append((headers, body))
            self.answer(status, b"", Location=receiver.url)

    with serving(Handler) as url:
        receiver.url = f"{url.replace('127.0.0.1', 'localhost')}/jobs"
        yield receiver
