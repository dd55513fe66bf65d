"""A U-Net and a transformer encoder in a batched service, next to a bare loop on the same GPU.

Also: which GPU a worker gets, whether the memory of a killed worker is free again, and whether a
training resumes from its checkpoint. It needs nothing from the network, and 8 minutes at most.

    python benchmarks/gpu.py            # with a GPU
    python benchmarks/gpu.py --small    # small networks; on the CPU if there is no GPU
"""

import argparse
import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import httpx
import numpy
import psutil
from common import HERE, TOKEN, Peer, easymlnb, publish, service, workers
from load import _python

NPY = "application/x-npy"
NAMES = [(name, kind) for name in ("unet", "encoder") for kind in ("fp32", "bf16")]
SIZES = {
    "GPU_IMAGE": "64",
    "GPU_BASE": "8",
    "GPU_TOKENS": "32",
    "GPU_WIDTH": "64",
    "GPU_LAYERS": "2",
}
"""Sizes of the networks with ``--small``."""

LIMIT = 8 * 60.0
"""Seconds of the whole run; rounds are left out when the time is over."""

SOURCE = """
import os, time
from pathlib import Path
from typing import Annotated
import easymlnb as ml
import numpy

os.environ.update({sizes})  # workers do not inherit the server's environment
{models}

Array = ml.Batched[Annotated[numpy.ndarray, ml.Array()]]
rules = ml.Batch(max_size={size}, stack=True)
{services}

@ml.service(gpu="prefer")
def where() -> dict[str, str]:
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else ""
    return {{"visible": os.environ.get("CUDA_VISIBLE_DEVICES", ""), "name": name}}

@ml.service(gpu="prefer", idempotent=True)
def train(steps: int, folder: str) -> str:
    checkpoint = ml.checkpoint()
    (Path(folder) / f"pid-{{ml.job().attempt}}").write_text(str(os.getpid()))

    def after(step, state):
        checkpoint.save(step, state=state)
        ml.progress(step / steps)
        if step == steps // 2 and ml.job().attempt == 1:
            time.sleep(12)  # the checkpoint is sent, then this process is killed
            (Path(folder) / "half").touch()
            time.sleep(600)

    def load():
        found = checkpoint.load()
        return found["state"] if found else None

    return fit(load, steps, after)
"""

SERVICE = """
@ml.service(gpu="prefer", batch=rules, timeout=120)
def {name}_{kind}(x: Array) -> Array:
    return predict("{name}", "{kind}", x)
"""

BARE = """
import sys, time
from gpu_models import items, network, predict

name, kind, size, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
data = items(name, 2 * size)
for _ in range(3):
    predict(name, kind, data[:size])
began, done = time.perf_counter(), 0
while time.perf_counter() - began < seconds:
    at = done // size % 2 * size
    predict(name, kind, data[at : at + size])
    done += size
print(done / (time.perf_counter() - began))
"""

TRAIN = """
import sys
from gpu_models import fit

print(fit(lambda: None, int(sys.argv[1]), lambda step, state: None))
"""


def child(source: str, *arguments: object) -> str:
    """Return what a program of its own prints."""
    command = [sys.executable, "-c", source, *map(str, arguments)]
    done = subprocess.run(command, cwd=HERE / "peers", capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout.strip()


def gpu_memory() -> int:
    """Return the bytes of GPU memory in use by all processes; 0 without a GPU."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    return sum(int(line) for line in shown.split()) * 2**20


def load(peer: Peer, connections: int, seconds: float) -> float:
    return asyncio.run(_python(peer, connections, seconds))


def served(url: str, name: str, kind: str, size: int, seconds: float, clients: int) -> float:
    """Return the items per second of a service, with load from several processes."""
    sys.path.insert(0, str(HERE / "peers"))
    from gpu_models import items

    bodies = []
    for item in items(name, 16):
        body = io.BytesIO()
        numpy.save(body, item)
        bodies.append(body.getvalue())
    made = service(url, f"{name}_{kind}", bodies, NPY)
    peer = Peer(made.url, bodies, {**made.headers, "Accept": NPY})
    each = max(1, 3 * size // clients)
    with ProcessPoolExecutor(clients, get_context("spawn")) as pool:
        list(pool.map(load, [peer] * clients, [each] * clients, [2.0] * clients))
        return sum(pool.map(load, [peer] * clients, [each] * clients, [seconds] * clients))


def throughput(url: str, given: argparse.Namespace, until: float) -> None:
    """Print the items per second of each network, served and bare, in turns."""
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {one: [] for one in NAMES}
    for _ in range(given.rounds):
        for name, kind in NAMES:
            if time.monotonic() < until:
                bare = float(child(BARE, name, kind, given.size, given.seconds))
                ours = served(url, name, kind, given.size, given.seconds, given.clients)
                pairs[name, kind].append((bare, ours))
    print("| network | bare loop | served | ratio |\n|---|---|---|---|")
    for (name, kind), found in pairs.items():
        if not found:
            print(f"| {name}, {kind} | not measured: the time was over | | |")
            continue
        bare, ours = (median(values) for values in zip(*found, strict=True))
        ratio = median(ours / bare for bare, ours in found)
        print(f"| {name}, {kind} | {bare:,.0f} | {ours:,.0f} | {ratio:.2f} |", flush=True)


def memory_after_kill(url: str, http: httpx.Client) -> None:
    """Kill the worker that serves, and print what is left of its GPU memory."""
    used = gpu_memory()
    for process in workers(url):
        process.kill()
    began = time.perf_counter()
    while gpu_memory() > used // 4 and time.perf_counter() - began < 30:
        time.sleep(0.1)
    freed = f"{used / 2**20:,.0f} MB before, {gpu_memory() / 2**20:,.0f} MB after"
    print(f"GPU memory when all workers are killed: {freed}")
    began = time.perf_counter()
    while (found := http.post("services/where/call", json={})).status_code != 200:
        time.sleep(0.2)
    print(f"the next worker answers after {time.perf_counter() - began:.1f} s: {found.json()}")


def resume(http: httpx.Client, folder: Path, steps: int) -> bool:
    """Kill a training at half of its steps; return whether its weights are those of another."""
    values = {"steps": steps, "folder": str(folder)}
    id = http.post("services/train/jobs", json=values).raise_for_status().json()["id"]
    while not (folder / "half").exists():
        time.sleep(0.1)
    os.kill(int((folder / "pid-1").read_text()), signal.SIGKILL)
    while (job := http.get(f"jobs/{id}", params={"wait": 20}).json())["ended"] is None:
        pass
    outcomes = [one["outcome"] for one in job["attempts"]]
    same = http.get(f"jobs/{id}/result").json() == child(TRAIN, steps)
    print(f"training: outcomes {outcomes}, weights {'the same' if same else 'DIFFERENT'}")
    return same and outcomes == ["lost", "succeeded"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="Small networks, as for a CPU.")
    parser.add_argument("--size", type=int, default=0, help="Largest batch; 32, or 8 if small.")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=0, help="Processes that call.")
    given = parser.parse_args()
    given.size = given.size or (8 if given.small else 32)
    given.clients = given.clients or max(1, min(8, (os.cpu_count() or 2) // 2))
    return given


def main() -> int:
    given = parse()
    until = time.monotonic() + 0.6 * LIMIT
    if given.small:
        os.environ.update(SIZES)
    import torch

    has_gpu = torch.cuda.is_available()
    if not has_gpu and not given.small:
        print("There is no GPU. With --small, this runs on the CPU, which says little.")
        return 1
    where = torch.cuda.get_device_name() if has_gpu else f"CPU, {psutil.cpu_count()} cores"
    print(f"{where}, torch {torch.__version__}; items/s, batches of {given.size} at most")
    services = "".join(SERVICE.format(name=name, kind=kind) for name, kind in NAMES)
    models = (HERE / "peers" / "gpu_models.py").read_text()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with easymlnb(folder) as url:
            sizes = SIZES if given.small else {}
            source = SOURCE.format(models=models, services=services, size=given.size, sizes=sizes)
            publish(url, source, "gpu")
            headers = {"Authorization": f"token {TOKEN}"}
            with httpx.Client(base_url=url, headers=headers, timeout=120) as http:
                found = http.post("services/where/call", json={}).raise_for_status().json()
                print(f"a worker with gpu='prefer' sees: {json.dumps(found)}")
                throughput(url, given, until)
                memory_after_kill(url, http)
                same = resume(http, folder, 40)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
