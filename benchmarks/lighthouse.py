"""Scores of Lighthouse for the catalog, a service's page and its app page, with its phone profile.

``python benchmarks/lighthouse.py [--runs N] [--pages catalog service app docs] [--findings]``. npm
installs Lighthouse below ``--tools-dir`` (default: the user's cache folder). Each page has the
median of its runs; the exit status is 1 if a score is below the minimum.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from common import TOKEN, easymlnb, publish
from page_peers import roll_source
from rivals import default_folder

VERSION = "13.5.0"
CATEGORIES = ("performance", "accessibility", "best-practices")
MINIMUM = 90
PAGES = {
    "catalog": "",
    "service": "services/roll/page",
    "app": "apps/roll",
    "docs": "docs",
}
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-background-networking"
MORE = '''
import easymlnb as ml

@ml.service(title="Shout", tags=["text"], author="Ann", license="MIT", examples=[{"text": "hi"}])
def shout(text: str, times: int = 3) -> str:
    """Say it *louder*."""
    return text.upper() * times
'''


def install(folder: Path) -> Path:
    """Install Lighthouse if it is not there; return its program."""
    program = folder / "node_modules" / "lighthouse" / "cli" / "index.js"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
        subprocess.run([*command, f"lighthouse@{VERSION}"], check=True, stdout=sys.stderr)
    return program


def report(program: Path, url: str, folder: Path) -> dict[str, Any]:
    """Visit a page once; return Lighthouse's report."""
    path, headers = folder / "report.json", folder / "headers.json"
    headers.write_text(json.dumps({"Authorization": f"token {TOKEN}"}))
    command = [
        "node", str(program), url, "--quiet", "--output=json", f"--output-path={path}",
        f"--only-categories={','.join(CATEGORIES)}", f"--extra-headers={headers}",
        f"--chrome-flags={FLAGS}",
    ]  # fmt: skip
    environment = os.environ | {"CHROME_PATH": os.environ.get("CHROMIUM", "/usr/bin/chromium")}
    subprocess.run(command, check=True, env=environment, timeout=300)
    found: dict[str, Any] = json.loads(path.read_text())
    if error := found.get("runtimeError"):
        raise RuntimeError(f"{url}: {error['message']}")
    return found


def findings(found: dict[str, Any]) -> list[str]:
    """Return what costs a page points."""
    lines = []
    for name in CATEGORIES:
        for reference in found["categories"][name]["auditRefs"]:
            audit = found["audits"][reference["id"]]
            if reference["weight"] and audit["score"] is not None and audit["score"] < 0.9:
                value = audit.get("displayValue", "")
                lines.append(f"  {name}: {audit['id']}: {audit['title']} {value}")
                items = audit.get("details", {}).get("items", ())
                lines += [f"    {json.dumps(item)[:300]}" for item in items[:5]]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--pages", nargs="+", choices=list(PAGES), default=["catalog", "service", "app"]
    )
    parser.add_argument("--findings", action="store_true", help="print what costs points")
    parser.add_argument("--tools-dir", type=Path, default=default_folder().parent / "lighthouse")
    asked = parser.parse_args()
    program, low = install(asked.tools_dir), False
    print("| page | " + " | ".join(CATEGORIES) + " | largest paint | layout shift |")
    print("|---" * (len(CATEGORIES) + 3) + "|", flush=True)
    with tempfile.TemporaryDirectory() as name, easymlnb(Path(name)) as url:
        publish(url, roll_source(), "roll")
        publish(url, MORE, "shout")
        for page in asked.pages:
            runs = [report(program, f"{url}{PAGES[page]}", Path(name)) for _ in range(asked.runs)]
            low |= _row(page, runs)
            if asked.findings:
                print(*findings(runs[-1]), sep="\n", flush=True)
    sys.exit(low)


def _row(page: str, runs: list[dict[str, Any]]) -> bool:
    """Print the scores of a page; return whether one is too low."""

    def audit(name: str) -> float:
        return median(run["audits"][name]["numericValue"] for run in runs)

    scores = [100 * median(run["categories"][name]["score"] for run in runs) for name in CATEGORIES]
    shown = " | ".join(f"{score:.0f}" for score in scores)
    paint, shift = audit("largest-contentful-paint") / 1000, audit("cumulative-layout-shift")
    print(f"| {page} | {shown} | {paint:.1f} s | {shift:.3f} |", flush=True)
    return min(scores) < MINIMUM


if __name__ == "__main__":
    main()
