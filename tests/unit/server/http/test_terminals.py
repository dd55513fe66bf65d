"""What a terminal of a server finds."""

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from easymlnb_server.http.terminals import command, extend_path


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_programs_are_found_after_the_login_shell_has_set_its_path(
    tmp_path: Path, shell: str
) -> None:
    (tmp_path / "bin dir").mkdir()
    program = tmp_path / "bin dir" / "only-there"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    profile = tmp_path / ".profile"
    profile.write_text("PATH=/usr/bin:/bin; export PATH")
    found = shutil.which(shell)
    assert found is not None
    done = subprocess.run(
        command([found, "-l"], str(program.parent)),
        input="only-there; echo $PATH",
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["found", f"/usr/bin:/bin:{program.parent}"]


def test_what_an_administrator_chose_stays() -> None:
    for chosen in (["/usr/bin/fish", "-l"], ["bash"], ["bash", "-l", "-i"]):
        assert command(chosen, "/opt") == chosen
    manager = SimpleNamespace(shell_command=["bash", "-l"])
    extend_path({"terminal_manager": manager})
    assert len(manager.shell_command) == 4
    extend_path({})
