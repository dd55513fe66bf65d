"""What other protocols cost: a no-op call on one connection, next to our JSON call.

All are called in turns. Compare the ratios; ``plain`` is a JSON call that takes no fast path.
"""

import json
import tempfile
from pathlib import Path
from statistics import median

from common import TOKEN, Caller, Peer, easymlnb, publish, service

SOURCE = "import easymlnb as ml\n\n@ml.service\ndef noop() -> None:\n    pass"
CALLS, ROUNDS = 300, 10

CURRENT = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": CURRENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def mcp(url: str, version: str) -> Peer:
    """Return the same service as a tool, called by a client of one revision."""
    params = {"name": "noop", "arguments": {}}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {TOKEN}",
        "MCP-Protocol-Version": version,
    }
    if version == CURRENT:
        params["_meta"] = META
        headers |= {"Mcp-Method": "tools/call", "Mcp-Name": "noop"}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return Peer(f"{url}services/noop/mcp", [json.dumps(message).encode()], headers)


def install_module(folder: Path) -> str:
    """Write a DEEPaaS module that does nothing, and return the cell that serves it."""
    info = folder / "noop_module-1.dist-info"
    info.mkdir(parents=True)
    (folder / "noop_module.py").write_text("def predict():\n    return None\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: noop_module\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[deepaas.v2.model]\nnoop = noop_module\n")
    return (
        f"import sys\nsys.path.insert(0, {str(folder)!r})\n"
        "from easymlnb.compat import deepaas\ndeepaas.serve('noop', name='deep')"
    )


def deepaas(url: str) -> Peer:
    """Return the same service as a DEEPaaS module."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    return Peer(f"{url}services/deep/deepaas/v2/models/noop/predict/", [b"{}"], headers)


def main() -> None:
    with tempfile.TemporaryDirectory() as name, easymlnb(Path(name), app_kernels=0) as url:
        publish(url, SOURCE, "noop")
        publish(url, install_module(Path(name) / "site"), "deep")
        call = service(url, "noop", [b"{}"])
        peers = {
            "JSON call": call,
            "plain": Peer(call.url, call.bodies, call.headers | {"X-Timeout": "20"}),
            "MCP 2026-07-28": mcp(url, CURRENT),
            "MCP 2025-11-25": mcp(url, "2025-11-25"),
            "DEEPaaS": deepaas(url),
        }
        callers = {name: Caller(peer) for name, peer in peers.items()}
        times: dict[str, list[float]] = {name: [] for name in peers}
        for caller in callers.values():
            caller.times(50)
        for _ in range(ROUNDS):
            for name, caller in callers.items():
                times[name].append(caller.p50(CALLS))
    base = median(times["JSON call"])
    print("| | p50 | ratio |")
    print("|---|---|---|")
    for name, found in times.items():
        print(f"| {name} | {median(found) * 1e3:.3f} ms | {median(found) / base:.2f} |")


if __name__ == "__main__":
    main()
