"""One service while a thousand slow calls of another run and wait, beside the same without them."""

import asyncio
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

import httpx
from common import TOKEN, Caller, easymlnb, publish, service

SLOW = """
import time
import easymlnb as ml

@ml.service(timeout=300, workers=2)
def slow() -> None:
    time.sleep(0.05)
"""
QUICK = """
import easymlnb as ml

@ml.service
def quick(x: float) -> float:
    return x
"""
MANY = 1000
ROUNDS = 2


async def crowd(url: str) -> list[int]:
    """Make all the slow calls at once and return the statuses of their answers."""
    headers = {"Authorization": f"token {TOKEN}"}
    limits = httpx.Limits(max_connections=MANY)
    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=300) as client:
        ask = (client.post(f"{url}services/slow/call", json={}) for _ in range(MANY))
        return [answer.status_code for answer in await asyncio.gather(*ask)]


def waiting(url: str) -> int:
    answer = httpx.get(f"{url}services/slow", headers={"Authorization": f"token {TOKEN}"})
    return int(answer.json()["stats"]["waiting"])


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "config").mkdir()
        config = {"EasyMLNB": {"queue_limit": MANY}}
        (folder / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
        url = stack.enter_context(easymlnb(folder))
        publish(url, SLOW, "slow")
        publish(url, QUICK, "quick")
        caller = Caller(service(url, "quick", [b'{"x": 1.5}']))
        caller.times(500)
        rows: dict[str, list[tuple[float, float]]] = {"alone": [], "beside": []}
        with ThreadPoolExecutor(1) as pool:
            for _ in range(ROUNDS):
                times = caller.times(2000)
                rows["alone"].append((median(times), quantiles(times, n=100)[98]))
                sent = pool.submit(asyncio.run, crowd(url))
                while not sent.done() and waiting(url) < MANY - 50:
                    time.sleep(0.1)
                times = []
                while waiting(url) > 100:
                    times += caller.times(200)
                rows["beside"].append((median(times), quantiles(times, n=100)[98]))
                statuses = sent.result()
                print(f"  {len(times)} calls; slow ones: {set(statuses)}", file=sys.stderr)
    print("| the other service's slow calls | p50 | p99 |\n|---|---|---|")
    for name, found in rows.items():
        p50, p99 = (median(column) * 1000 for column in zip(*found, strict=True))
        print(f"| {name} | {p50:.2f} ms | {p99:.2f} ms |")


if __name__ == "__main__":
    main()
