"""A device under random disconnects and kills: no call may be lost, or run as two jobs.

A process of its own is the device: it stores calls, sends them through a proxy that cuts its
connections, and takes the results. It is killed at random, as is the server with ``--servers``.
"""

import argparse
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.notebooks import make_notebook
from support.server import RunningServer, running_server

SOURCE = """
import easymlnb as ml

@ml.service(idempotent=True)
def double(x: int) -> int:
    return 2 * x
"""

DEVICE = """
import json, sys
import easymlnb as ml
from easymlnb.contract.errors import ServerUnreachable

folder, url, token, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
client = ml.connect(url, token)
outbox = client.outbox(f"{folder}/calls.db")
results = open(f"{folder}/results", "a")
# What the file itself knows: how many calls were ever stored in it.
found = outbox._rows.execute("SELECT seq FROM sqlite_sequence WHERE name = 'calls'").fetchone()
number = found[0] if found else 0
while True:
    if number < count:
        outbox.put("double", x=number)
        number += 1
    outbox.flush()
    try:
        for one in outbox.results():
            print(json.dumps([one.key, one.result]), file=results, flush=True)
    except ServerUnreachable:
        pass
"""


class CuttingProxy:
    """Passes connections to a server, and cuts all of them when asked."""

    def __init__(self, port: int) -> None:
        self.cuts = 0
        self._server = port
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.cuts += 1
        for one in tuple(self._open):
            one.close()
        self._open.clear()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                near.close()
                continue
            self._open |= {near, far}
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(2**16):
                target.sendall(data)
        except OSError:
            pass
        source.close()
        target.close()


def start(
    server: RunningServer, proxy: CuttingProxy, folder: Path, count: int
) -> "subprocess.Popen[bytes]":
    url = f"http://127.0.0.1:{proxy.port}{server.base}"
    command = [sys.executable, "-c", DEVICE, str(folder), url, server.token, str(count)]
    return subprocess.Popen(command, cwd=folder)


def results(folder: Path) -> dict[str, int]:
    file = folder / "results"
    lines = file.read_text().splitlines() if file.exists() else []
    return dict(json.loads(line) for line in lines)


def disturb(
    server: RunningServer, proxy: CuttingProxy, device: "subprocess.Popen[bytes]", servers: bool
) -> str:
    what = random.choice(("cut", "cut", "device") + (("server",) if servers else ()))
    if what == "cut":
        proxy.cut()
    elif what == "device":
        device.kill()
        device.wait()
    else:
        server.stop(signal.SIGKILL)
        server.start()
    return what


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--disturbances", type=int, default=100)
    parser.add_argument("--servers", action="store_true", help="Kill the server, too.")
    given = parser.parse_args()
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_server(folder, make_notebook(SOURCE)) as server:
            proxy = CuttingProxy(server.port)
            device = start(server, proxy, folder, given.calls)
            try:
                while len(found := results(folder)) < given.calls:
                    time.sleep(random.uniform(0.05, 0.6))
                    if done.total() < given.disturbances:
                        done[disturb(server, proxy, device, given.servers)] += 1
                    if device.poll() is not None:
                        device = start(server, proxy, folder, given.calls)
            finally:
                device.kill()
                device.wait()
            total = server.http.get("jobs", params={"service": "double"}).json()["total"]
    print(f"disturbances: {dict(done)}")
    print(f"calls: {given.calls}, results: {len(found)}, jobs: {total}")
    print(f"each value once: {sorted(found.values()) == [2 * n for n in range(given.calls)]}")
    assert total == len(found) == given.calls


if __name__ == "__main__":
    main()
