"""A server that many share, with people, notebooks and secrets, for tests of who gets what."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from easymlnb.contract.names import url_path
from support.notebooks import make_notebook
from support.server import RunningServer, publish

PEOPLE: dict[str, dict[str, Any]] = {
    "alice": {"groups": ["ml"]},
    "b+ob@x.org": {"groups": ["ops"]},
    "carol": {"groups": []},
    "dave": {"groups": ["ml"]},
    "root": {"groups": [], "admin": True},
}
"""``b+ob@x.org``: a Hub takes an address for a name, too."""

BOB = "b+ob@x.org"

NOT_SHARED: dict[str, Any] = {"users": [], "groups": [], "everyone": False, "public": False}
"""The access of a service that only its owner may call."""

SERVICE = '''
@ml.service(name="{name}", description="{see}", tags=["{see}"], author="{see}")
def {name}(x: int = 1) -> str:
    """A secret: in its log for owners, in its schema and result for callers."""
    print("{manage}")
    return "{call}"
'''

FILES = '''
@ml.service
def sizes(file: ml.File) -> int:
    """Take a file."""
    return file.size

@ml.service(timeout=60)
def naps(seconds: float = 30.0) -> str:
    import time
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.05)
    return "woke"

@ml.service
def asks(other: str = "sizes") -> str:
    """Call another service in its owner's name."""
    return str(ml.use(other)())
'''


@dataclass
class SharedServer(RunningServer):
    """A server with ``EasyMLNB.shared``; each of the people has a client of their own."""

    app_kernels: int = 1
    people: dict[str, httpx.Client] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        tests = str(Path(__file__).parents[1])
        return {**super().environment, "PYTHONPATH": tests} | {
            "EASYMLNB_TEST_PEOPLE": str(self.members)
        }

    @property
    def members(self) -> Path:
        """The file that says who there is."""
        return self.folder / "people.json"

    def start(self) -> None:
        self.know(PEOPLE)
        super().start()
        for name in PEOPLE:
            headers = {"Authorization": f"token {name}-token"}
            self.people[name] = httpx.Client(
                base_url=f"{self.url}easymlnb/", headers=headers, timeout=60
            )

    def know(self, people: dict[str, Any]) -> None:
        """Have these people, and no others, on the Hub."""
        fresh = self.members.with_suffix(".new")
        fresh.write_text(json.dumps(people))
        fresh.replace(self.members)

    def stop(self, how: int = 15) -> None:
        for client in self.people.values():
            client.close()
        super().stop(how)

    def bring(self, owner: str, *cells: str) -> dict[str, Any]:
        """Publish a notebook of somebody's and wait for the end of it."""
        notebook = make_notebook("import easymlnb as ml", *cells)
        path = self.root / f"{owner}.ipynb"
        found = publish(self.people[owner], self.wait_for, notebook, path)
        assert found["state"] == "ready", found
        return found

    def share(self, name: str, **access: Any) -> None:
        """Set who may call ``owner/segment``."""
        owner = name.partition("/")[0]
        answer = self.people[owner].put(f"services/{name}/access", json=access)
        assert answer.status_code == 200, answer.text


OPTIONS = (
    "--ServerApp.identity_provider_class=support.identity_provider.Identities",
    "--EasyMLNB.shared=True",
)


def call(server: SharedServer, who: str, name: str, **values: Any) -> httpx.Response:
    return server.people[who].post(f"services/{url_path(name)}/call", json=values)


def opened(server: SharedServer, client: httpx.Client, at: str) -> str:
    """Open a page and return the path of its place."""

    def place() -> str:
        found = re.search('data-session="([^"]+)"', client.get(at).text)
        return f"{at}/api/kernels/{found[1]}" if found else ""

    return str(server.wait_for(place, "there is no place for the page"))
