"""Jobs under random kills of workers and server: none may be lost, or succeed twice."""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.invariants import workers
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

SOURCE = """
import time
from pathlib import Path
import easymlnb as ml

@ml.service(idempotent=True)
def mark(number: int, seconds: float, file: str) -> int:
    time.sleep(seconds)
    with open(file, "a") as out:
        out.write(f"{number}\\n")
    return number
"""


def submit(server: RunningServer, number: int, file: Path) -> str:
    """Submit a job, again until the server has confirmed it; the key makes that one job."""
    values = {"number": number, "seconds": random.uniform(0.05, 0.5), "file": str(file)}
    while True:
        try:
            headers = {"Idempotency-Key": f"job-{number}"}
            answer = server.http.post("services/mark/jobs", json=values, headers=headers)
            if answer.status_code == 202:
                return str(answer.json()["id"])
        except httpx.TransportError:
            pass
        time.sleep(0.2)


def disturb(server: RunningServer) -> str:
    """Kill a worker, stop one for a moment, or kill the server and start the next one."""
    what = random.choice(("worker", "worker", "pause", "server"))
    if what == "server":
        server.stop(signal.SIGKILL)
        server.start()
        return what
    found = [pids[0] for pids in workers(server).values()]
    if found:
        pid = random.choice(found)
        os.kill(pid, signal.SIGKILL if what == "worker" else signal.SIGSTOP)
        if what == "pause":
            time.sleep(random.uniform(0.2, 1.0))
            os.kill(pid, signal.SIGCONT)
    return what


def wait(server: RunningServer, id: str) -> dict[str, object]:
    while True:
        try:
            found = server.http.get(f"jobs/{id}", params={"wait": 10}).json()
            if found["state"] not in ("queued", "running"):
                return dict(found)
        except (httpx.TransportError, KeyError):
            time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--disturbances", type=int, default=200)
    parser.add_argument("--postgres", default="", help="URL of an empty database.")
    given = parser.parse_args()
    options = ("--EasyMLNB.lanes=jobs={'workers': 3}",)
    if given.postgres:
        options += (f"--EasyMLNB.database_url={given.postgres}",)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "marks"
        with running_server(folder, make_notebook(SOURCE), options=options) as server:
            ids = [submit(server, number, file) for number in range(given.jobs)]
            done = Counter(disturb(server) for _ in range(given.disturbances))
            ends = [wait(server, id) for id in ids]
        outcomes = Counter(str(end["state"]) for end in ends)
        twice = sum(
            sum(one["outcome"] == "succeeded" for one in end["attempts"]) > 1  # type: ignore[attr-defined]
            for end in ends
        )
        ran = Counter(file.read_text().split())
        print(f"disturbances: {dict(done)}")
        print(f"jobs: {given.jobs}, ended as {dict(outcomes)}, succeeded twice: {twice}")
        print(f"function ran to its end more than once: {sum(n > 1 for n in ran.values())}")
        lost = {"worker_lost"} & {str((end["error"] or {}).get("code")) for end in ends}  # type: ignore[attr-defined]
        assert not twice
        assert len(ran) >= outcomes["succeeded"]
        assert sum(outcomes.values()) == given.jobs, lost


if __name__ == "__main__":
    main()
