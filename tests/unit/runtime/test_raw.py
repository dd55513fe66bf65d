"""Raw output of a worker: a part of it each minute, and a mark where it was cut."""

import os
import time
from pathlib import Path

from easymlnb.runtime import raw


def test_quota_lets_a_part_through_and_then_a_mark_once() -> None:
    now = [0.0]
    quota = raw.OutputQuota(lambda: now[0])
    assert quota.allowed(b"x" * 100) == b"x" * 100
    assert quota.allowed(b"y" * raw.LIMIT) == b"y" * (raw.LIMIT - 100) + raw.NOTE
    assert quota.allowed(b"z") == b""
    now[0] = raw.SECONDS
    assert quota.allowed(b"z") == b"z"


def test_descriptor_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
    raw.limit(None, descriptor)
    for _ in range(100):
        os.write(descriptor, b"x" * 100_000)
    os.close(descriptor)
    while not (found := log.read_bytes()).endswith(raw.NOTE):
        time.sleep(0.01)
    assert len(found) == raw.LIMIT + len(raw.NOTE)


def test_log_that_is_gone_stops_no_writer() -> None:
    reads, writes = os.pipe()
    raw.limit(None, writes)
    os.close(reads)
    for _ in range(100):
        os.write(writes, b"x" * 100_000)
    os.close(writes)
