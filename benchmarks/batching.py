"""A random forest, one row per call, 64 callers: batched here, against FastAPI + uvicorn."""

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from common import HERE, Caller, easymlnb, fastapi, publish
from load import Load

MODEL = (HERE / "peers" / "forest.py").read_text()
SOURCE = """
import easymlnb as ml

@ml.service(batch=ml.Batch())
def batched(x: ml.Batched[list[float]]) -> list[float]:
    return MODEL.predict(x)

@ml.service
def single(x: list[float]) -> float:
    return MODEL.predict([x])[0]
"""
CONNECTIONS = 64
ROUNDS = 5
SECONDS = 4.0


def main() -> None:
    bodies = [json.dumps({"x": [n / 10] * 20}).encode() for n in range(100)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("peer", "ours"):
            (folder / name).mkdir()
        peer = stack.enter_context(fastapi(folder / "peer", "forest_fastapi"))
        ours = stack.enter_context(easymlnb(folder / "ours"))
        publish(ours, MODEL + SOURCE, "forest")
        urls = {
            "FastAPI + uvicorn": f"{peer}predict",
            "easymlnb, batched": f"{ours}services/batched/call",
            "easymlnb, not batched": f"{ours}services/single/call",
        }
        assert len({Caller(url, bodies[7]).call() for url in urls.values()}) == 1
        loads = {name: Load(url, bodies, CONNECTIONS) for name, url in urls.items()}
        for load in loads.values():
            load.rate(1.0)
        rounds = [{name: load.rate(SECONDS) for name, load in loads.items()} for _ in range(ROUNDS)]
    print(f"100 trees, one row per call, {CONNECTIONS} connections, medians of {ROUNDS} rounds")
    for name in urls:
        ratios = [found[name] / found["FastAPI + uvicorn"] for found in rounds]
        print(
            f"  {name:22} {median(f[name] for f in rounds):7.0f} calls/s  {median(ratios):5.1f} x"
            f"  ({min(ratios):.1f} to {max(ratios):.1f})"
        )


if __name__ == "__main__":
    main()
