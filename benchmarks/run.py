"""Compare easymlnb with its alternatives in one table: a no-op call and a batched model.

``python benchmarks/run.py [peer ...]`` measures the named alternatives, or all of them. FastAPI and
easymlnb run all the time, the others one after the other. Each round measures all three in turn, so
other load on the machine affects them equally.
"""

import argparse
import platform
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from common import HERE, Peer, easymlnb, publish, service
from load import GENERATOR, rate
from rivals import RIVALS, NotInstalled, Rival, default_folder, install, running

SOURCE = """
import easymlnb as ml

{models}

model = forest()

@ml.service(name="noop")
def published(x: float) -> float:
    return noop(x)

@ml.service(name="forest", batch=ml.Batch())
def batched(x: ml.Batched[list[float]]) -> list[float]:
    return model.predict(x)
"""
WORKS = (("noop", 1), ("noop", 64), ("forest", 64))
"""What is measured: a function, and how many connections call it."""

Found = dict[tuple[str, int], list[float]]
BASE, OURS = RIVALS[0], "easymlnb"


def ours(url: str) -> dict[str, Peer]:
    """Publish our services and return how they are called."""
    models = (HERE / "peers" / "models.py").read_text()
    publish(url, SOURCE.format(models=models), "peer")
    rows = [f'{{"x": {[n / 10] * 20}}}'.encode() for n in range(100)]
    return {
        "noop": service(url, "noop", [b'{"x": 1.5}']),
        "forest": service(url, "forest", rows),
    }


def measure(side: dict[str, dict[str, Peer]], rounds: int, seconds: float) -> dict[str, Found]:
    """Return each one's calls per second, round by round."""
    found: dict[str, Found] = {name: {work: [] for work in WORKS} for name in side}
    for peers in side.values():
        for name, connections in WORKS:
            rate(peers[name], connections, 1.0)
    for _ in range(rounds):
        for work in WORKS:
            for name, peers in side.items():
                found[name][work].append(rate(peers[work[0]], work[1], seconds))
    return found


def row(name: str, found: Found, base: Found) -> str:
    cells = []
    for work in WORKS:
        ratios = [mine / theirs for mine, theirs in zip(found[work], base[work], strict=True)]
        span = f"{min(ratios):.2f} to {max(ratios):.2f}"
        cells.append(f"{median(found[work]):.0f} | {median(ratios):.2f} ({span})")
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", nargs="*", help="those to measure; all if none is named")
    parser.add_argument("--peers-dir", type=Path, default=default_folder())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()
    wanted = {name.lower() for name in asked.peers}
    chosen = [r for r in RIVALS[1:] if not wanted or r.name.lower() in wanted]
    print(f"Python {platform.python_version()}, load by {GENERATOR}.")
    print(f"{asked.rounds} rounds of {asked.seconds:g} s: calls/s, and the ratio to FastAPI.\n")
    print("| | " + " | ".join(f"{name}, {n} | ratio" for name, n in WORKS) + " |")
    print("|---" * (1 + 2 * len(WORKS)) + "|", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        version = install(BASE, asked.peers_dir)
        base = stack.enter_context(running(BASE, asked.peers_dir, _folder(folder, "base")))
        side = {BASE.name: base, OURS: ours(stack.enter_context(easymlnb(_folder(folder, "ours"))))}
        found = measure(side, asked.rounds, asked.seconds)
        print(row(f"{BASE.name} {version}, {BASE.note}", found[BASE.name], found[BASE.name]))
        print(row(OURS, found[OURS], found[BASE.name]), flush=True)
        for rival in chosen:
            print(_beside(rival, side, asked, _folder(folder, rival.name)), flush=True)


def _beside(
    rival: Rival, side: dict[str, dict[str, Peer]], asked: argparse.Namespace, folder: Path
) -> str:
    try:
        version = install(rival, asked.peers_dir)
        with running(rival, asked.peers_dir, folder) as peers:
            both = {BASE.name: side[BASE.name], rival.name: peers}
            found = measure(both, max(2, asked.rounds // 2), asked.seconds)
    except (NotInstalled, RuntimeError) as error:
        return f"| {rival.name} | not measured: {str(error)[:200]} |"
    named = f"{rival.name} {version}, {rival.note}"
    return row(named, found[rival.name], found[BASE.name])


def _folder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


if __name__ == "__main__":
    main()
