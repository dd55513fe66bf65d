"""The programs that easymlnb is measured against: how each is installed, started and called."""

import contextlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from common import HERE, Peer, free_port, process, wait_until

PEERS = HERE / "peers"

Body = Callable[[Any], bytes]


def plain(x: Any) -> bytes:
    return json.dumps({"x": x}).encode()


def rows(x: Any) -> bytes:
    return json.dumps({"x": [x]}).encode()


def gradio(x: Any) -> bytes:
    return json.dumps({"data": [x]}).encode()


def tensor(x: Any) -> bytes:
    """Return the Open Inference Protocol's JSON of one number, or of one row."""
    data = x if isinstance(x, list) else [x]
    shape = [1, len(x)] if isinstance(x, list) else [1]
    one = {"name": "x", "shape": shape, "datatype": "FP64", "data": data}
    return json.dumps({"inputs": [one]}).encode()


def nothing(x: Any) -> bytes:
    return b""


@dataclass(frozen=True)
class Rival:
    """One of them. ``packages`` go into its environment, whose first is named with its version;
    ``{}`` in ``noop`` and ``forest``, its URLs, stands for the argument if that belongs there."""

    name: str
    packages: tuple[str, ...]
    noop: str = "noop"
    forest: str = "forest"
    body: Body = plain
    forest_body: Body | None = None
    program: tuple[str, ...] = ()
    note: str = ""

    @property
    def file(self) -> Path:
        return PEERS / f"{self.name.lower().replace(' ', '_')}_peer.py"

    def command(self, home: Path, port: int) -> list[str]:
        if self.program:
            return [str(home / "bin" / self.program[0]), *self.program[1:], str(port)]
        return [str(home / "bin" / "python"), str(self.file), str(port)]


RIVALS = (
    Rival("FastAPI", ("fastapi[standard]", "scikit-learn"), note="one uvicorn process, uvloop"),
    Rival("LitServe", ("litserve", "scikit-learn"), note="one worker"),
    Rival(
        "MLServer", ("mlserver", "scikit-learn"), "v2/models/noop/infer", "v2/models/forest/infer",
        tensor, note="no parallel workers",
    ),
    Rival(
        "BentoML", ("bentoml", "scikit-learn"), forest_body=rows,
        program=("bentoml", "serve", "bentoml_peer:Peer", "--working-dir", str(PEERS), "--port"),
        note="one worker",
    ),
    Rival(
        "Gradio", ("gradio", "scikit-learn"), "gradio_api/run/noop", "gradio_api/run/forest",
        gradio, note="without its queue",
    ),
    Rival("Ray", ("ray[serve]", "scikit-learn"), note="one replica"),
    Rival(
        "DEEPaaS", ("deepaas", "scikit-learn"), "v2/models/noop/predict/?x={}",
        "v2/models/forest/predict/?x={}", nothing, note="one process",
    ),
    Rival(
        "Kernel Gateway", ("jupyter_kernel_gateway", "ipykernel", "scikit-learn"),
        note="notebook-http",
    ),
)  # fmt: skip


class NotInstalled(Exception):
    """A peer could not be installed here, or did not start; the message says what it said."""


def install(rival: Rival, folder: Path) -> str:
    """Make the environment of a peer if it is not there; return the version of its package."""
    home = folder / rival.name.lower().replace(" ", "_")
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
    if not (home / "done").exists():
        command = [str(python), "-m", "pip", "install", "--quiet", *rival.packages]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NotInstalled(done.stderr.strip().splitlines()[-1])
        (home / "done").touch()
    package = rival.packages[0].partition("[")[0]
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def running(rival: Rival, environments: Path, folder: Path) -> Iterator[dict[str, Peer]]:
    """Run a peer; yields how its two functions are called."""
    home = environments / rival.name.lower().replace(" ", "_")
    port = free_port()
    # Nothing of this environment may leak into that of the peer.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "JUPYTER"))}
    environment |= {"PYTHONPATH": str(PEERS), "RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {"GRADIO_ANALYTICS_ENABLED": "False", "BENTOML_DO_NOT_TRACK": "True"}
    environment |= {"PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    url = f"http://127.0.0.1:{port}/"
    peers = {
        "noop": _peer(f"{url}{rival.noop}", rival.body, [1.5]),
        "forest": _peer(
            f"{url}{rival.forest}", rival.forest_body or rival.body,
            [[n / 10] * 20 for n in range(100)],
        ),
    }  # fmt: skip
    with process(rival.command(home, port), environment, folder):
        try:
            wait_until(lambda: [peer.answers() for peer in peers.values()], 180)
        except TimeoutError as error:
            last = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
            raise NotInstalled(f"{error} {''.join(last)}") from error
        yield peers


def _peer(url: str, body: Body, values: list[Any]) -> Peer:
    if "{}" not in url:
        return Peer(url, [body(value) for value in values])
    value = values[len(values) // 2]
    said = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return Peer(url.format(quote(said)), [body(value)])


def default_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return cache / "easymlnb-benchmarks" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
