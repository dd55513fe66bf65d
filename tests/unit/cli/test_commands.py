"""The command: what it prints, where it prints it, how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from easymlnb._version import __version__
from easymlnb.cli import call, doctor, logs, output, serve
from easymlnb.cli.errors import sentence
from easymlnb.contract.errors import NotReady, ServiceNotFound
from easymlnb.contract.spec import ServiceSpec

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from easymlnb.cli import main; main()"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"NO_COLOR": "1"} | environment,
    )


def test_the_version_is_told():
    assert run("--version").stdout == f"easymlnb {__version__}\n"


def test_help_lists_the_commands():
    found = run("--help")
    assert found.returncode == 0
    for command in ("serve", "publish", "list", "call", "logs", "remove", "doctor"):
        assert f" {command} " in found.stdout


def test_help_loads_nothing_heavy():
    heavy = ("numpy", "pandas", "PIL", "torch", "pydantic", "httpx", "IPython", "ipywidgets")
    code = (
        "import sys, easymlnb.cli.app\n"
        f"sys.exit(' '.join(sorted(set(sys.modules) & set({heavy!r}))) or 0)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    "arguments",
    [("nosuch",), ("call",), ("call", "roll", "--timeout", "soon"), ("list", "--nosuch")],
)
def test_wrong_usage_ends_with_two(arguments):
    found = run(*arguments)
    assert found.returncode == 2
    assert "Traceback" not in found.stderr and found.stdout == ""


@pytest.mark.parametrize(
    "arguments", [("list",), ("call", "roll"), ("logs", "roll"), ("remove", "roll", "--yes")]
)
def test_without_a_server_one_sentence_says_so(arguments):
    # Port 9 is the discard service: nothing listens there.
    found = run(*arguments, "--url", "http://127.0.0.1:9/")
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.startswith("easymlnb: No server responds")
    assert len(found.stderr.splitlines()) == 1


def test_serve_refuses_what_it_cannot_publish_before_it_starts():
    found = run("serve", "/no/such/notebook.ipynb")
    assert found.returncode == 2 and "is not a file" in found.stderr
    found = run("serve", "--token", "")
    assert found.returncode == 2 and "the token is empty" in found.stderr


def test_serve_warns_of_a_token_that_others_can_read(tmp_path, capsys):
    found = run("serve", "--token", "secret", "/no/such/notebook.ipynb")
    assert found.returncode == 2
    assert "Use --token-file FILE" in found.stderr
    assert serve.server_token(None, None, ["--IdentityProvider.token=secret"]) is None
    assert "Use --token-file FILE" in capsys.readouterr().err


def test_serve_reads_its_token_from_a_file_or_the_environment(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)
    monkeypatch.delenv("EASYMLNB_TOKEN", raising=False)
    assert serve.server_token(None, None, []) is None
    monkeypatch.setenv("JUPYTER_TOKEN", "jupyters")
    assert serve.server_token(None, None, []) == "jupyters"
    monkeypatch.setenv("EASYMLNB_TOKEN", "own")
    assert serve.server_token(None, None, []) == "own"
    file = tmp_path / "token"
    file.write_text("secret\n")
    file.chmod(0o600)
    assert serve.server_token(None, file, []) == "secret"
    assert capsys.readouterr().err == ""
    file.chmod(0o644)
    assert serve.server_token(None, file, []) == "secret"
    assert "chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines", b"\xff\xfe", None])
def test_serve_refuses_a_file_without_a_token(tmp_path, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    found = run("serve", "--token-file", str(file))
    assert found.returncode == 2 and "Traceback" not in found.stderr
    assert run("serve", "--token-file", str(file), "--token", "x").returncode == 2


# doctor


def test_doctor_prints_json_for_scripts(tmp_path):
    found = run("doctor", "--json", JUPYTER_RUNTIME_DIR=str(tmp_path))
    told = {finding["about"]: finding for finding in json.loads(found.stdout)}
    assert told["python"]["state"] == "ok"
    assert told["packages"]["state"] == "ok"
    assert told["server"]["state"] == "note"
    assert found.returncode == int(any(f["state"] == "bad" for f in told.values()))


def test_doctor_ends_with_one_when_a_named_server_is_away():
    found = run("doctor", "--url", "http://127.0.0.1:9/")
    assert found.returncode == 1
    assert "BAD   server" in found.stdout


def test_an_old_python_is_bad():
    (finding,) = doctor.python((3, 9, 2))
    assert finding.bad and "3.11" in finding.fix


def test_the_extension_may_be_switched_off(tmp_path):
    off, on, empty = tmp_path / "off", tmp_path / "on", tmp_path / "empty"
    for folder, state in ((off, False), (on, True)):
        (folder / "jupyter_server_config.d").mkdir(parents=True)
        said = {"ServerApp": {"jpserver_extensions": {"easymlnb_server": state}}}
        file = folder / "jupyter_server_config.d" / "easymlnb_server.json"
        file.write_text(json.dumps(said))
    assert doctor._switch([empty, on, off])[0]
    assert not doctor._switch([off, on])[0]
    assert doctor._switch([empty]) == (False, None)


def test_a_network_disk_is_bad(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nhost:/x {tmp_path} nfs4 rw 0 0\nproc /proc proc rw\n")
    assert doctor.filesystem(tmp_path / "a", mounts) == "nfs4"
    assert doctor.filesystem(Path("/"), mounts) == "ext4"
    states = [finding.state for finding in doctor.data_folder(tmp_path / "a" / "b", mounts)]
    assert states[:2] == ["ok", "bad"]


def test_a_folder_that_is_a_file_is_bad(tmp_path):
    (tmp_path / "a").write_text("")
    assert next(doctor.data_folder(tmp_path / "a")).bad


def test_a_check_that_breaks_is_a_finding(monkeypatch):
    monkeypatch.setattr(doctor, "kernel", lambda: 1 / 0)
    found = {finding.about: finding for finding in doctor.examine("http://127.0.0.1:9/")}
    assert found["kernel"].bad and "ZeroDivisionError" in found["kernel"].says
    assert found["server"].bad


# what is printed


def test_errors_are_sentences():
    assert sentence(NotReady("It starts.", request_id="r1")) == "It starts. (request r1)"
    assert sentence(ServiceNotFound("x")).startswith("There is no service named 'x'.")
    assert sentence(FileNotFoundError(2, "No such file", "a.txt")) == "No such file: a.txt"
    assert "EASYMLNB_DEBUG" in sentence(KeyError("x"))


def test_a_service_cannot_drive_the_terminal():
    entry = {
        "time": "2024-02-03T04:05:06.789+00:00",
        "status": 500,
        "seconds": 0.5,
        "version": "3",
        "request_id": "r1",
        "log": "a\x1b[2Jb\n",
        "trace": "Traceback\n  boom",
    }
    lines = logs.text(entry).splitlines()
    assert lines[0] == "2024-02-03 04:05:06  500  0.500 s  v3  r1"
    assert lines[1:] == ["    a[2Jb", "    Traceback", "      boom"]


class Log:
    """A service's log that grows each time it is read; ends with an interrupt."""

    def __init__(self, *entries):
        self.entries = list(entries)
        self.shown = 1
        self.admin = self

    def log(self, name):
        if self.shown > len(self.entries):
            raise KeyboardInterrupt
        found = self.entries[max(0, self.shown - 2) : self.shown]
        self.shown += 1
        return found


def test_following_shows_each_call_once(capsys):
    log = Log(*({"time": f"t{n}", "request_id": f"r{n}", "version": "live"} for n in range(3)))
    with pytest.raises(KeyboardInterrupt):
        logs.show_log(log, "roll", follow=True, wait=lambda seconds: None)
    shown = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["r0", "r1", "r2"]


# what is asked for


IMAGE = ServiceSpec(
    name="f",
    title="F",
    input={},
    output={"x-easymlnb": {"widget": "image"}},
    produces=("image/png", "image/tiff"),
)
TABLE = ServiceSpec(name="f", title="F", input={}, output={}, produces=("text/csv",))


@pytest.mark.parametrize(
    ("spec", "wish", "accept"),
    [
        (IMAGE, call.CallCommand(), "image/*, application/json;q=0.1"),
        (IMAGE, call.CallCommand(json=True), "application/json"),
        (TABLE, call.CallCommand(), ""),
        (IMAGE, call.CallCommand(save=Path("x.tif")), "image/tiff"),
        (IMAGE, call.CallCommand(save=Path("x.json")), "application/json"),
        (IMAGE, call.CallCommand(save=Path("x.png"), json=True), "application/json"),
        (IMAGE, call.CallCommand(save=Path("x.dat")), "image/*, application/json;q=0.1"),
        (TABLE, call.CallCommand(save=Path("x.csv")), "text/csv"),
        (TABLE, call.CallCommand(accept="text/csv"), "text/csv"),
        (TABLE, call.CallCommand(save=Path("x")), "text/csv, application/json;q=0.1"),
    ],
)
def test_the_ending_of_the_file_chooses_the_form(spec, wish, accept):
    assert call._accept(spec, wish) == accept


def test_the_server_is_told_its_token_where_others_cannot_read_it():
    settings = serve.ServeOptions(port=8900, ip="0.0.0.0", token="secret")
    arguments = settings.arguments(["--ServerApp.base_url=/x/"])
    assert "--ServerApp.port=8900" in arguments and "--ServerApp.base_url=/x/" in arguments
    assert not any("secret" in argument for argument in arguments)
    assert settings.environment()["JUPYTER_TOKEN"] == "secret"


def test_publish_names_each_field_of_the_metadata_that_is_wrong(tmp_path):
    from support.notebooks import make_notebook

    notebook = tmp_path / "dice.ipynb"
    notebook.write_text(json.dumps(make_notebook("import easymlnb as ml")))
    (tmp_path / "easymlnb.yaml").write_text("doi: nope\nservices:\n  roll: {date: soon}\n")
    found = run("publish", str(notebook), "--url", "http://127.0.0.1:9/")
    assert found.returncode == 1
    head, doi, date = found.stderr.strip().splitlines()
    assert head == "easymlnb: The metadata is invalid:"
    assert doi.startswith("  doi: The value must be a DOI") and doi.endswith("(easymlnb.yaml)")
    assert date.startswith("  services.roll.date: The value must be a date")


@pytest.mark.parametrize(("term", "drawn"), [("dumb", False), ("xterm-256color", True)])
def test_progress_is_drawn_only_where_a_line_can_be_drawn_twice(monkeypatch, term, drawn):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with output.progress("Starting") as told:
        # Without it, who has news prints them below each other.
        assert (told is not None) is drawn
