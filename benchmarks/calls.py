"""A no-op call, one client: easymlnb live and published against FastAPI + uvicorn, in turns."""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx
from common import TOKEN, Caller, easymlnb, fastapi, publish

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from notebook_kernel import NotebookKernel

SOURCE = """
import easymlnb as ml

@ml.service(name="{name}")
def noop(x: float) -> float:
    return x
"""
ROUNDS = 7
CALLS = 400


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("peer", "ours"):
            (folder / name).mkdir()
        peer = stack.enter_context(fastapi(folder / "peer", "noop_fastapi"))
        ours = stack.enter_context(easymlnb(folder / "ours"))
        publish(ours, SOURCE.format(name="published"), "published")
        client = httpx.Client(base_url=ours, headers={"Authorization": f"token {TOKEN}"})
        kernel = NotebookKernel(client)
        stack.callback(kernel.close)
        kernel.run(SOURCE.format(name="live"))
        body = b'{"x": 1.5}'
        callers = {
            "FastAPI + uvicorn": Caller(f"{peer}noop", body),
            "easymlnb, published": Caller(f"{ours}services/published/call", body),
            "easymlnb, live": Caller(f"{ours}services/live/call", body),
        }
        for caller in callers.values():
            caller.p50(CALLS)
        rounds = [{name: c.p50(CALLS) for name, c in callers.items()} for _ in range(ROUNDS)]
    print(f"no-op call, 1 connection, {ROUNDS} rounds of {CALLS} calls, medians of p50")
    for name in callers:
        ratio = median(found[name] / found["FastAPI + uvicorn"] for found in rounds)
        print(f"  {name:22} {median(f[name] for f in rounds) * 1000:7.3f} ms  {ratio:5.2f} x")


if __name__ == "__main__":
    main()
