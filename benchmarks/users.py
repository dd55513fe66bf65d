"""Twenty users with three services each on one Hub: who sees and who calls what, of all pairs.

Starts a real Hub with the shared service. Every user publishes a notebook, which runs on a server
of their own, and shares its services by chance: with some, with groups, with all, with nobody.
Then everybody, an administrator and somebody without friends too, looks at the lists and tries
all ways to every service, and each answer is held against the rules. Ends with what it cost.

    python benchmarks/users.py [--users 20] [--seed 1]
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from easymlnb_server.identity.access import Access, Action, Caller, is_allowed  # noqa: E402
from easymlnb_server.services.catalog_handlers import PAGE_SIZE  # noqa: E402
from support.hub.shared_service import Member, ServiceHub  # noqa: E402
from support.notebooks import make_notebook  # noqa: E402

CELL = """
import easymlnb as ml

@ml.service
def {name}(x: int = 1) -> str:
    return "{owner} {name}" + str(x)
"""
SERVICES = ("first", "second", "third")
GROUPS = ("g0", "g1", "g2", "g3")
ADMIN, STRANGER = "dora", "stranger"
AT_ONCE = 4
SETTINGS = {
    "EasyMLNB": {"placements": {"local": {"idle": "5s"}}, "app_kernels": 1},
    "HubIdentity": {"cache_seconds": 30.0},
}


@dataclass
class Trial:
    """Who there is, what is shared with whom, and what was wrong."""

    hub: ServiceHub
    dice: random.Random
    callers: dict[str, Caller] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    access: dict[str, Access] = field(default_factory=dict)
    tried: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def bring(self, users: list[str]) -> None:
        """Have these users, an administrator and a stranger on the Hub."""
        for group in GROUPS:
            self.hub.api.post(f"groups/{group}").raise_for_status()
        for name in (*users, ADMIN, STRANGER):
            groups = self.dice.sample(GROUPS, self.dice.randint(0, 2)) if name in users else []
            self.members[name] = self.hub.member(name)
            for group in groups:
                self.hub.group("POST", group, name)
            self.callers[name] = Caller(name, frozenset(groups), name == ADMIN)

    def publish(self, owner: str) -> None:
        cells = [CELL.format(owner=owner, name=name) for name in SERVICES]
        path = self.hub.folder / f"{owner}.ipynb"
        found = self.members[owner].publish(make_notebook(*cells), path)
        assert found["state"] == "ready", found

    def share(self, owner: str) -> None:
        others = [name for name in self.callers if name not in (owner, ADMIN, STRANGER)]
        for name in SERVICES:
            given = Access(
                users=tuple(self.dice.sample(others, self.dice.randint(0, min(5, len(others))))),
                groups=tuple(self.dice.sample(GROUPS, self.dice.randint(0, 2))),
                everyone=self.dice.random() < 0.15,
                public=self.dice.random() < 0.1,
            )
            if self.dice.random() < 0.2:
                given = Access()
            self.access[f"{owner}/{name}"] = given
            self.members[owner].share(f"{owner}/{name}", **given.to_dict())

    def may(self, who: str, name: str, action: Action) -> bool:
        owner = name.partition("/")[0]
        return is_allowed(self.callers[who], owner, self.access[name], action)

    def lists(self, who: str) -> None:
        """Hold what somebody is shown against the rules."""
        expected = {name for name in self.access if self.may(who, name, Action.SEE)}
        http = self.members[who].http
        listed = {one["full_name"] for one in http.get("services").json()["services"]}
        self._check(f"list of {who}", listed, expected)
        starts = range(0, len(self.access), PAGE_SIZE)
        pages = "".join(http.get("", params={"start": start}).text for start in starts)
        shown = {name for name in self.access if f"services/{name}/page" in pages}
        self._check(f"catalog of {who}", shown, expected)
        paths = http.get("openapi.json").json()["paths"]
        described = {name for name in self.access if f"/services/{name}/call" in paths}
        self._check(f"OpenAPI of {who}", described, expected)

    def ways(self, who: str) -> None:
        """Hold every way of somebody to every service against the rules."""
        http = self.members[who].http
        for name in self.access:
            called, managed = (self.may(who, name, one) for one in (Action.CALL, Action.MANAGE))
            at = f"services/{name}"
            for kind, answer, allowed in (
                ("call", http.post(f"{at}/call", json={"x": 7}), called),
                ("view", http.post(f"{at}/view", json={"x": 7}), called),
                ("spec", http.get(at), called),
                ("page", http.get(f"{at}/page"), called),
                ("log", http.get(f"{at}/log"), managed),
                ("access", http.get(f"{at}/access"), managed),
            ):
                got = answer.status_code
                self._check(f"{kind} of {name} by {who}", got, 200 if allowed else 404)
                if kind == "call" and got == 200:
                    expected = f"{name.replace('/', ' ')}7"
                    self._check(f"answer of {name} to {who}", answer.json(), expected)
            if not called:
                got = http.get(f"apps/{name}").status_code
                self._check(f"app of {name} for {who}", got, 404)

    def visitor(self) -> None:
        """Without a login there are public pages, and nothing else."""
        with httpx.Client(base_url=self.hub.service_url, timeout=60) as http:
            for name, access in self.access.items():
                got = http.post(f"services/{name}/call", json={}).status_code
                self._check(f"call of {name} by nobody", got, 401)
                if not access.public:
                    got = http.get(f"public/{name}").status_code
                    self._check(f"public page of {name}", got, 404)

    def remove(self, owner: str) -> None:
        for name in SERVICES:
            answer = self.members[owner].http.delete(f"services/{owner}/{name}")
            self._check(f"removal of {owner}/{name}", answer.status_code, 204)

    def _check(self, what: str, got: object, expected: object) -> None:
        self.tried[what.split()[0]] += 1
        if got != expected:
            self.wrong.append(f"{what}: {got!r}, not {expected!r}")


@contextmanager
def timed(what: str) -> Iterator[None]:
    since = time.monotonic()
    yield
    print(f"{what:<52}{time.monotonic() - since:8.1f} s", flush=True)


def for_all(work: Callable[[str], None], names: list[str]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, names))


def memory(hub: ServiceHub) -> dict[str, float]:
    """Return the MB that the service, and the Hub with all servers and workers, take."""
    assert hub.process is not None
    hubs = psutil.Process(hub.process.pid)
    every = {one.pid: one for one in (hubs, *hubs.children(recursive=True))}
    sizes = {pid: one.memory_full_info().pss / 1e6 for pid, one in every.items()}
    return {"service": sizes[hub.service().pid], "all": sum(sizes.values())}


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    options.add_argument("--users", type=int, default=20)
    options.add_argument("--seed", type=int, default=1)
    told = options.parse_args()
    users = [f"user{number:02}" for number in range(told.users)]
    with tempfile.TemporaryDirectory() as folder:
        hub = ServiceHub(Path(folder), settings=SETTINGS)
        try:
            with timed("a Hub starts, with its service"):
                hub.start()
            trial = Trial(hub, random.Random(told.seed))
            trial.bring(users)
            print(f"{'before, the service':<52}{memory(hub)['service']:8.0f} MB")
            with timed(f"{len(users)} users publish, {AT_ONCE} at a time"):
                for_all(trial.publish, users)
            for owner in users:
                trial.share(owner)
            everybody = list(trial.callers)
            with timed(f"the lists of {len(everybody)}"):
                for_all(trial.lists, everybody)
            with timed(f"all ways of {len(everybody)} to {len(trial.access)} services"):
                for_all(trial.ways, everybody)
                trial.visitor()
            taken = memory(hub)
            print(f"{'with all that, the service':<52}{taken['service']:8.0f} MB")
            print(f"{'the Hub, all servers and workers':<52}{taken['all']:8.0f} MB")
            with timed("all is removed, and the Hub is empty"):
                for_all(trial.remove, users)
                hub.wait_for(lambda: not any(map(hub.servers, users)), "nodes stay")
        finally:
            hub.stop()
    print(f"{sum(trial.tried.values())} answers ({dict(trial.tried)}), {len(trial.wrong)} wrong")
    print("\n".join(trial.wrong[:20]))
    return int(bool(trial.wrong))


if __name__ == "__main__":
    sys.exit(main())
