"""Send and return 4 MB of numbers as one binary body; compare with a bare Tornado handler."""

import io
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy
from common import HERE, Caller, Peer, easymlnb, free_port, process, publish, service, wait_until

SOURCE = """
import easymlnb as ml
import numpy

@ml.service
def double(a: numpy.ndarray) -> numpy.ndarray:
    return a * 2
"""
NPY = "application/x-npy"
ROUNDS = 7
CALLS = 40


def main() -> None:
    body = io.BytesIO()
    numpy.save(body, numpy.random.default_rng(0).random((1000, 1000), dtype="float32"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("bare", "ours"):
            (folder / name).mkdir()
        port = free_port()
        program = str(HERE / "peers" / "tornado_copy.py")
        stack.enter_context(process([sys.executable, program, str(port)], {}, folder / "bare"))
        ours = stack.enter_context(easymlnb(folder / "ours"))
        publish(ours, SOURCE, "double")
        binary = service(ours, "double", [body.getvalue()], NPY)
        peers = {
            "bare tornado, copies": Peer(f"http://127.0.0.1:{port}/copy", [body.getvalue()]),
            "bare tornado, doubles": Peer(f"http://127.0.0.1:{port}/double", [body.getvalue()]),
            "easymlnb, doubles": Peer(binary.url, binary.bodies, {**binary.headers, "Accept": NPY}),
        }
        callers = {name: Caller(peer) for name, peer in peers.items()}
        for caller in callers.values():
            wait_until(caller.call)
        assert callers["easymlnb, doubles"].call() == callers["bare tornado, doubles"].call()
        rounds = [{name: c.p50(CALLS) for name, c in callers.items()} for _ in range(ROUNDS)]
    print(f"4 MB float32 both ways, 1 connection, {ROUNDS} rounds of {CALLS} calls")
    for name in callers:
        ratio = median(found["bare tornado, copies"] / found[name] for found in rounds)
        print(f"| {name} | {median(f[name] for f in rounds) * 1000:.1f} ms | {ratio:.2f} |")


if __name__ == "__main__":
    main()
