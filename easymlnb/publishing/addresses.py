"""The addresses of a published service: its app, its service page and its REST address."""

from collections.abc import Iterator
from dataclasses import dataclass

from easymlnb.client import hub
from easymlnb.client.discovery import Server
from easymlnb.contract.names import url_path


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of one service; ``public`` is empty unless visitors can open it without login."""

    app: str
    page: str
    rest: str
    public: str = ""

    def lines(self) -> Iterator[str]:
        """Yield one labeled line per address, to print."""
        yield f"  App:           {self.app}"
        yield f"  Service page:  {self.page}"
        yield f"  REST address:  {self.rest}"
        if self.public:
            yield f"  Public link:   {self.public}"


def for_service(server: Server, name: str, *, public: bool = False) -> Addresses:
    """Return the addresses of a service as a browser outside the server reaches them.

    Raises ``ServiceNotFound`` for an invalid name.
    """
    base, quoted = hub.public_url(server), url_path(name)
    return Addresses(
        app=f"{base}apps/{quoted}",
        page=f"{base}services/{quoted}/page",
        rest=f"{base}services/{quoted}",
        public=f"{base}public/{quoted}" if public else "",
    )
