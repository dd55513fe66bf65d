"""App pages compared with pages of Gradio and Streamlit, on a phone over a slow network.

``python benchmarks/apps.py [--rounds N] [--apps roll forecast] [--cpu 1 4]``. One function without
a plot (``roll``) and one with two (the notebook of the energy forecast) have a page in each. All
servers run all the time and are visited in turns, in the same Chromium: 390 px, 150 ms latency,
1.6 Mbit/s down, 0.75 Mbit/s up. A visit presses the page's button as soon as that is possible; a
press without an answer counts as lost and does not make the page usable.
"""

import argparse
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from common import HERE
from page_peers import NAMES, OURS, PAGE_PEERS, STEPS, Steps, ours, running
from rivals import default_folder

NETWORK = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1.6e6 / 8,
    "uploadThroughput": 0.75e6 / 8,
}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
PROBE = "page-probe "
TIMEOUT = 180_000.0
"""Milliseconds after which a visit has failed."""
ROWS = (
    ("usable", "usable", "s", 0.001),
    ("answered", "answer to a press at that moment", "s", 0.001),
    ("largest", "largest paint", "s", 0.001),
    ("paint", "first paint", "s", 0.001),
    ("shift", "layout shift", "", 1.0),
    ("requests", "requests until the answer", "", 1.0),
    ("bytes", "bytes until the answer", "kB", 0.001),
    ("lost", "lost presses", "", 1.0),
)


@dataclass
class Traffic:
    """What a page has requested and received, with the browser's times."""

    began: float = 0.0
    requests: list[float] = field(default_factory=list)
    received: list[tuple[float, int]] = field(default_factory=list)

    def follow(self, network: Any) -> None:
        network.send("Network.enable")
        network.on("Network.requestWillBeSent", self._request)
        network.on("Network.webSocketWillSendHandshakeRequest", self._request)
        network.on("Network.dataReceived", self._data)
        network.on("Network.responseReceived", self._head)

    def _request(self, event: Any) -> None:
        if str(event.get("request", {}).get("url", "")).startswith(("data:", "blob:")):
            return
        self.began = self.began or event["timestamp"]
        self.requests.append(event["timestamp"])

    def _head(self, event: Any) -> None:
        self.received.append((event["timestamp"], int(event["response"]["encodedDataLength"])))

    def _data(self, event: Any) -> None:
        self.received.append((event["timestamp"], int(event["encodedDataLength"])))

    def until(self, milliseconds: float) -> dict[str, float]:
        """Return the requests that were made and the bytes that had come by then."""
        end = self.began + milliseconds / 1000
        return {
            "requests": sum(at <= end for at in self.requests),
            "bytes": sum(size for at, size in self.received if at <= end),
        }


def probe(steps: Steps) -> str:
    """Return the script that presses and takes the times."""
    source = (HERE / "page_probe.js").read_text(encoding="utf-8")
    press = ", ".join(f"() => {one}" for one in steps.press)
    return source.replace("/*STEPS*/", press).replace("/*ANSWERED*/ false", steps.answered)


def visit(context: Any, url: str, cpu: float) -> dict[str, float]:
    """Visit a page once in a tab of its own."""
    tab = context.new_page()
    protocol, traffic = context.new_cdp_session(tab), Traffic()
    traffic.follow(protocol)
    protocol.send("Network.emulateNetworkConditions", NETWORK)
    protocol.send("Emulation.setCPUThrottlingRate", {"rate": cpu})
    shown = []
    tab.on("console", lambda message: shown.append(message.text))
    try:
        with tab.expect_console_message(
            lambda message: message.text.startswith(PROBE), timeout=TIMEOUT
        ) as message:
            tab.goto(url, wait_until="commit", timeout=TIMEOUT)
    except Exception:
        print(tab.locator("body").inner_text()[:2000], *shown[-20:], sep="\n")
        tab.screenshot(path=Path(tempfile.gettempdir()) / "apps-failed.png")
        raise
    found: dict[str, float] = json.loads(message.value.text.removeprefix(PROBE))
    found |= traffic.until(found["answered"])
    tab.close(run_before_unload=True)
    return found


def visits(browser: Any, url: str, steps: Steps, cpu: float) -> list[dict[str, float]]:
    """Visit a page with an empty cache, and once more."""
    context = browser.new_context(**PHONE)
    context.add_init_script(probe(steps))
    try:
        return [visit(context, url, cpu) for _ in range(2)]
    finally:
        context.close()


Results = dict[str, list[dict[str, float]]]


def table(title: str, results: Results) -> None:
    """Print the medians of all sides, and our ratio to each other one."""
    others = [name for name in results if name != OURS]
    print(f"\n**{title}**\n")
    print(f"| | {OURS} | " + " | ".join(f"{name} | ratio" for name in others) + " |")
    print("|---" * (2 + 2 * len(others)) + "|")
    for key, label, unit, scale in ROWS:
        middle = {name: median(one[key] for one in found) for name, found in results.items()}
        cells = [f"{middle[OURS] * scale:.3g} {unit}"]
        for name in others:
            ratio = f"{middle[OURS] / middle[name]:.2f}" if middle[name] else "-"
            cells += [f"{middle[name] * scale:.3g} {unit}", ratio]
        print(f"| {label} | " + " | ".join(cells) + " |", flush=True)


def compare(
    browser: Any, app: str, pages: dict[str, tuple[str, Steps]], cpu: float, rounds: int
) -> list[Results]:
    """Visit all pages of a function in turns and print two tables; return what was measured."""
    found: list[Results] = [{name: [] for name in pages} for _ in range(2)]
    for _ in range(rounds):
        for name, (url, steps) in pages.items():
            for results, one in zip(found, visits(browser, url, steps, cpu), strict=True):
                results[name].append(one)
    for results, which in zip(found, ("first", "second"), strict=True):
        table(f"{app}, {which} visit, CPU {cpu:g} times slower", results)
    return found


@contextlib.contextmanager
def all_pages(
    apps: tuple[str, ...], environments: Path
) -> Iterator[dict[str, dict[str, tuple[str, Steps]]]]:
    """Run everything; yields the pages of each function."""
    with contextlib.ExitStack() as stack:

        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory()))

        mine = stack.enter_context(ours(folder(), apps))
        pages = {app: {OURS: (mine[app], STEPS[app])} for app in apps}
        for peer in PAGE_PEERS:
            for app in apps:
                url = stack.enter_context(running(peer, app, folder(), environments))
                pages[app][peer.name] = (url, peer.steps[app])
        yield pages


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Run a browser that reaches this machine only."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=[
                "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )  # fmt: skip
        yield browser
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--apps", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--cpu", nargs="+", type=float, default=(1.0, 4.0))
    parser.add_argument("--peers-dir", type=Path, default=default_folder())
    asked = parser.parse_args()
    with all_pages(tuple(asked.apps), asked.peers_dir) as pages, chromium() as browser:
        for app, sides in pages.items():
            for url, steps in sides.values():
                visits(browser, url, steps, 1.0)
            for cpu in asked.cpu:
                compare(browser, app, sides, cpu, asked.rounds)


if __name__ == "__main__":
    main()
