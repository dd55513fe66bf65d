"""30 callers at once, each with a second of work that needs no processor, and the first calls
after a service was published."""

import asyncio
import tempfile
from pathlib import Path
from statistics import median

from common import Caller, easymlnb, publish, service
from load import arrivals

SOURCE = """
import asyncio, time
import easymlnb as ml

@ml.service(concurrency=32)
async def coroutine(x: float) -> float:
    await asyncio.sleep(1)
    return x

@ml.service(batch=ml.Batch())
def batch(x: ml.Batched[float]) -> list[float]:
    time.sleep(1)
    return x

@ml.service(batch=ml.Batch(), examples=[{"x": 1.5}])
def shown(x: ml.Batched[float]) -> list[float]:
    time.sleep(1)
    return x
"""
FIRST = """
import time
import easymlnb as ml

@ml.service({0})
def work(x: float) -> float:
    time.sleep({1})
    return x
"""
CALLERS = 30
EXAMPLE = 'examples=[{"x": 1.5}]'


def main() -> None:
    with tempfile.TemporaryDirectory() as name, easymlnb(Path(name)) as url:
        publish(url, SOURCE, "crowd")
        print(f"{CALLERS} callers at once, 1 s of work; the longest beyond it")
        for kind in ("coroutine", "batch", "batch", "shown"):
            peer = service(url, kind, [b'{"x": 1.5}'])
            calls = asyncio.run(arrivals(peer, [0.0] * CALLERS))
            assert all(call.status == 200 for call in calls)
            print(f"| {kind} | {max(call.seconds for call in calls) - 1:.3f} s |")
        print("100 calls after publish: the first compared with the median")
        for seconds in (0.03, 0.0):
            for example in (EXAMPLE, ""):
                publish(url, FIRST.format(example, seconds), "work")
                times = Caller(service(url, "work", [b'{"x": 1.5}'])).times(100)
                told = f"{seconds * 1000:.0f} ms, {'an example' if example else 'no example'}"
                first, p50 = times[0] * 1000, median(times) * 1000
                print(f"| {told} | {first:.2f} ms | {p50:.2f} ms | {first / p50:.2f} |")


if __name__ == "__main__":
    main()
