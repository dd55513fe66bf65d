"""Five times the calls that a service can answer, for a minute."""

import argparse
import asyncio
import tempfile
from pathlib import Path
from statistics import median, quantiles

import psutil
from common import easymlnb, publish, service
from load import Arrived, arrivals, poisson, rate

SOURCE = """
import time
import easymlnb as ml

@ml.service
def work(x: float) -> float:
    time.sleep(0.01)
    return x
"""


async def watched(calls: "asyncio.Task[list[Arrived]]", server: psutil.Process) -> list[int]:
    """Return the server's resident memory, each second until the calls have ended."""
    found = []
    while not calls.done():
        found.append(server.memory_info().rss)
        await asyncio.sleep(1)
    return found


async def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name, easymlnb(Path(name)) as url:
        publish(url, SOURCE, "work")
        peer = service(url, "work", [b'{"x": 1.5}'])
        capacity = await asyncio.to_thread(rate, peer, 8, 5)
        server = next(
            child for child in psutil.Process().children()
            if "easymlnb_server" in " ".join(child.cmdline())
        )  # fmt: skip
        task = asyncio.create_task(arrivals(peer, poisson(5 * capacity, seconds)))
        memory = await watched(task, server)
        calls = await task
    good = [call for call in calls if call.status == 200]
    refused = [call for call in calls if call.status == 503]
    assert len(good) + len(refused) == len(calls), {call.status for call in calls}
    assert all("retry-after:" in call.head.lower() for call in refused)
    times = [call.seconds for call in refused]
    third = len(memory) // 3
    print(f"capacity {capacity:.0f}/s, offered {len(calls) / seconds:.0f}/s for {seconds:.0f} s")
    print(f"| answered, of what it can | {len(good) / seconds / capacity:.2f} |")
    print(f"| p50 of the answered | {median(call.seconds for call in good) * 1000:.0f} ms |")
    print(f"| refused within, p50 and p99 | {median(times) * 1000:.1f} ms, "
          f"{quantiles(times, n=100)[98] * 1000:.1f} ms |")  # fmt: skip
    print(f"| slowest refusal | {max(times) * 1000:.0f} ms |")
    print(f"| memory, first third and last | {max(memory[:third]) / 2**20:.0f} MB, "
          f"{max(memory[-third:]) / 2**20:.0f} MB |")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    asyncio.run(main(parser.parse_args().seconds))
