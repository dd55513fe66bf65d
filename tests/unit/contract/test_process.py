"""A process that holds secrets hides them from others of its account, and still knows itself."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from easymlnb.contract.process import PR_SET_DUMPABLE, hide

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can")

NOBODY = 65534


def as_nobody(work: Callable[[], None]) -> int:
    """Run something in a child of an account without rights; returns its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        work()
        code = 0
    finally:
        os._exit(code)


def ended_well(child: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("hidden", [True, False])
def test_others_of_the_account_read_nothing_of_a_hidden_process(hidden: bool) -> None:
    ready, tell = os.pipe()
    over, end = os.pipe()

    def secretive() -> None:
        # A change of the account hides a process as well; most servers never changed theirs.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        assert not hidden or hide()
        # The server can still read its own data and that of its children.
        me = psutil.Process()
        assert me.memory_info().rss > 0 and me.num_fds() > 0 and me.create_time() > 0
        started = subprocess.Popen(["/bin/sleep", "60"], env={"MARK": "here"})
        try:
            other = psutil.Process(started.pid)
            while other.name() != "sleep" or not other.environ():
                pass  # the name changes a moment before the environment
            assert other.environ() == {"MARK": "here"}
            assert other.status() and other.memory_info().rss > 0
        finally:
            started.kill()
            started.wait()
        os.write(tell, b"!")
        os.close(end)
        os.read(over, 1)

    child = as_nobody(secretive)
    os.close(over)
    os.close(tell)
    try:
        assert os.read(ready, 1) == b"!", "a process must still have its own rights"

        def peek() -> None:
            for name in ("environ", "maps", "mem"):
                try:
                    Path(f"/proc/{child}/{name}").open("rb").close()
                    assert not hidden
                except PermissionError:
                    assert hidden
            psutil.Process(child).create_time()  # which is no secret, and identifies it

        assert ended_well(as_nobody(peek))
    finally:
        os.close(end)
        os.close(ready)
        os.waitpid(child, 0)


def test_what_a_hidden_process_starts_is_not_hidden() -> None:
    code = (
        "import ctypes, subprocess, sys; from easymlnb.contract.process import hide; hide();"
        "get = 'import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))';"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0));"
        "sys.stdout.flush(); subprocess.run([sys.executable, '-c', get], check=True)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["0", "1"]
