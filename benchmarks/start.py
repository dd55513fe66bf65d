"""How long `import easymlnb` takes, and a server start with ten published services."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import httpx
from common import TOKEN, easymlnb, publish

SOURCE = """
import easymlnb as ml

@ml.service(name="{name}")
def noop(x: float) -> float:
    return x
"""
SERVICES = 10


def seconds_of(code: str, rounds: int = 7) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - began)
    return median(times)


def main() -> None:
    bare = seconds_of("pass")
    print(f"import easymlnb                 {seconds_of('import easymlnb') - bare:6.3f} s")
    wanted = "import easymlnb as ml; ml.service"
    print(f"import easymlnb and its service {seconds_of(wanted) - bare:6.3f} s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with easymlnb(folder) as url:
            for number in range(SERVICES):
                publish(url, SOURCE.format(name=f"noop_{number}"), f"noop_{number}")
        began = time.perf_counter()
        with easymlnb(folder) as url:
            print(f"server answers after            {time.perf_counter() - began:6.2f} s")
            headers = {"Authorization": f"token {TOKEN}"}
            while True:
                listed = httpx.get(f"{url}services", headers=headers).json()["services"]
                if all(service["state"] == "ready" for service in listed):
                    break
                time.sleep(0.1)
            assert len(listed) == SERVICES
            print(f"all {SERVICES} services ready after     {time.perf_counter() - began:6.2f} s")


if __name__ == "__main__":
    main()
