"""What an API key costs a call: the check alone by the number of keys, and whole no-op calls.

The processor time of the server is compared, not the time of calls: other programs disturb it less.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from timeit import repeat

import psutil
from common import Caller, Peer, easymlnb, publish, server, service

from easymlnb.contract import api_keys
from easymlnb_server.identity.access import SingleUserDirectory
from easymlnb_server.identity.api_keys.keys import ApiKeys
from easymlnb_server.identity.api_keys.models import ApiKey, digest
from easymlnb_server.identity.audit.log import AuditLog
from easymlnb_server.identity.audit.models import AuditEvent
from easymlnb_server.identity.grants import Scope
from easymlnb_server.identity.limits import Limits
from easymlnb_server.identity.quotas.quotas import Defaults, Quotas
from easymlnb_server.identity.usage.meter import UsageMeter
from easymlnb_server.services.account import account
from easymlnb_server.store.store import Store

SOURCE = "import easymlnb as ml\n\n@ml.service\ndef noop() -> None:\n    pass"
LIMITS = Limits(calls_per_second=1e5, calls_per_day=10**9, concurrent=1000)
NUMBERS = (10, 10_000)
CALLS, ROUNDS = 1000, 10


def make(number: int) -> tuple[list[ApiKey], str]:
    """Return keys, and the text of one in the middle."""
    texts = [api_keys.generate() for _ in range(number)]
    keys = [
        ApiKey(
            id=f"key_{at:016x}",
            hash=digest(text),
            hint=text[: api_keys.HINT],
            owner=account(),
            services=("noop",),
            scopes=(Scope.CALL,),
            limits=LIMITS,
            created=time.time(),
            changed=time.time(),
        )
        for at, text in enumerate(texts)
    ]
    return keys, texts[number // 2]


class Rows:
    """Keys without a database."""

    def __init__(self, keys: list[ApiKey]) -> None:
        self.keys = keys

    def changed(self, since: float) -> list[ApiKey]:
        return self.keys


def check_alone(number: int) -> float:
    """Return the microseconds that it takes to check a key, its limits, and to count a call."""
    keys, text = make(number)
    users = SingleUserDirectory()
    found = ApiKeys(users, AuditLog())
    asyncio.run(found.open(Rows(keys)))  # type: ignore[arg-type]
    usage = UsageMeter()
    quotas = Quotas(Defaults(), usage)

    def once() -> None:
        key = found.find(text)
        assert key is not None
        caller = found.as_caller(key, users.known(key.owner))
        assert caller is not None and caller.key is not None
        for meter in quotas.admit("noop", caller, "", 2):
            meter.leave(0.0)
        usage.add(
            "noop", "1", caller.name, key.id, failed=False, seconds=0.0, gpus=0.0, bytes_in=2,
            bytes_out=4,
        )  # fmt: skip

    return min(repeat(once, number=5000, repeat=5)) / 5000 * 1e6


def cost(process: psutil.Process, peer: Peer) -> float:
    """Return the server's processor seconds for one call."""
    caller = Caller(peer)
    before = sum(process.cpu_times()[:2])
    for _ in range(CALLS):
        caller.call()
    return float(sum(process.cpu_times()[:2]) - before) / CALLS


def main() -> None:
    print("Check of a key, its limits, and counting:")
    for number in NUMBERS:
        print(f"| {number:,} keys | {check_alone(number):.1f} us |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys, text = make(NUMBERS[-1])
        store = Store.open("", folder / "data" / "easymlnb")
        event = AuditEvent(action="key.create", target="many")
        for key in keys[:: len(keys) // 2]:
            store.api_keys.add(key, event)
        store.close()
        with easymlnb(folder, app_kernels=0) as url:
            publish(url, SOURCE, "noop")
            process = server(url)
            by_token = service(url, "noop", [b"{}"])
            headers = {**by_token.headers, "Authorization": f"Bearer {text}"}
            by_key = Peer(by_token.url, [b"{}"], headers)
            found: dict[str, list[float]] = {"token": [], "key": []}
            for _ in range(ROUNDS):
                found["token"].append(cost(process, by_token))
                found["key"].append(cost(process, by_key))
            token, with_key = min(found["token"]), min(found["key"])
    print("Processor time of the server for a no-op call, the best of the rounds:")
    print(f"| token | {token * 1e6:.1f} us |")
    print(f"| key with limits | {with_key * 1e6:.1f} us | {with_key / token:.3f} |")


if __name__ == "__main__":
    main()
