"""A live service while its author's own cell computes in the same kernel, beside an idle one."""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

import httpx
from common import HERE, TOKEN, Caller, easymlnb, service

sys.path.insert(0, str(HERE.parent / "tests"))
from notebook_kernel import NotebookKernel

SOURCE = """
import easymlnb as ml

@ml.service
def noop(x: float) -> float:
    return x
"""
CELLS = {
    "idle": "",
    "a Python loop": "import time\nend = time.time() + {0}\nwhile time.time() < end: pass",
    "numpy": "import numpy, time\na = numpy.random.rand(600, 600)\nend = time.time() + {0}\n"
    "while time.time() < end: a @ a",
    "sorting a list": "import random, time\nend = time.time() + {0}\n"
    "while time.time() < end: sorted(random.random() for _ in range(20000))",
}
SECONDS = 4.0
ROUNDS = 3


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(easymlnb(folder))
        client = httpx.Client(base_url=url, headers={"Authorization": f"token {TOKEN}"})
        kernel = NotebookKernel(client)
        stack.callback(kernel.close)
        kernel.run(SOURCE)
        caller = Caller(service(url, "noop", [b'{"x": 1.5}']))
        caller.times(200)
        found: dict[str, list[float]] = {name: [] for name in CELLS}
        for _ in range(ROUNDS):
            for name, code in CELLS.items():
                message = kernel.send(code.format(SECONDS)) if code else ""
                caller.times(5)
                times = caller.times(150)
                found[name].append(median(times))
                print(f"  {name}: p95 {quantiles(times, n=20)[18] * 1000:.2f} ms", file=sys.stderr)
                if message:
                    kernel.wait(message)
    idle = median(found["idle"])
    print("| the author's cell | p50 | beside idle |\n|---|---|---|")
    for name, times in found.items():
        print(f"| {name} | {median(times) * 1000:.2f} ms | {median(times) / idle:.2f} |")


if __name__ == "__main__":
    main()
