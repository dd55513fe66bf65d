"""What must hold after every fault, however bad: asked of a real server from outside."""

from pathlib import Path

import psutil

from support.server import RunningServer

MARK = "EASYMLNB_WORKER"


def workers(server: RunningServer) -> dict[str, list[int]]:
    """Return the processes that this server's workers are or started: mark -> process ids."""
    found: dict[str, list[int]] = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except (psutil.Error, OSError):
            continue
        if MARK in environment and f":{server.port}/" in environment.get("EASYMLNB_LINK", ""):
            found.setdefault(environment[MARK], []).append(process.pid)
    return found


def data(server: RunningServer) -> Path:
    return server.folder / "data" / "easymlnb"


def tidy(server: RunningServer, count: int) -> bool:
    """Return whether exactly the given number of workers exists, without traces of others."""
    marks = set(workers(server))
    folders = {path.name for path in (data(server) / "work").iterdir()}
    records = {path.stem for path in (data(server) / "workers").glob("*.json")}
    return len(marks) == count and marks == folders == records


def check(server: RunningServer, count: int, name: str, **values: object) -> None:
    """Fail unless the server is well, a service of it answers, and nothing is left behind."""
    assert server.http.get("health/live").status_code == 200
    assert server.http.get("health/ready").status_code == 200
    answer = server.call(name, **values)
    assert answer.status_code == 200, answer.text
    server.wait_for(
        lambda: tidy(server, count),
        f"not {count} workers alone: {workers(server)}, {list(data(server).glob('work*/*'))}",
    )
    assert "Traceback" not in server.log, server.log[-6000:]
