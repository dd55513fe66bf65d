"""``easymlnb serve``: what happens to publishing when the server ends."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from easymlnb.cli import serve


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as made:
        yield made
        made.kill()


def blocked() -> None:
    """Wait as a publication does; only a signal ends it early."""
    threading.Event().wait(60)


def test_sigterm_ends_the_server_and_publishing(process: "subprocess.Popen[bytes]") -> None:
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    before = signal.getsignal(signal.SIGCHLD), signal.getsignal(signal.SIGTERM)
    with (
        serve._forwarding(process),
        pytest.raises(serve._ServerEnded),
        serve._while_running(process),
    ):
        blocked()
        pytest.fail("publishing went on without a server")
    assert process.returncode == -signal.SIGTERM
    assert (signal.getsignal(signal.SIGCHLD), signal.getsignal(signal.SIGTERM)) == before


def test_publishing_does_not_begin_without_a_server(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    with pytest.raises(serve._ServerEnded), serve._while_running(process):
        pytest.fail("there is no server")


def test_publishing_goes_on_when_another_process_ends(process: "subprocess.Popen[bytes]") -> None:
    with serve._while_running(process):
        assert subprocess.run([sys.executable, "-c", ""], check=False).returncode == 0
    assert process.poll() is None
