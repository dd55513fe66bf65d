"""Publishing from a real kernel to a small server that keeps to the protocol."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from easymlnb.client.discovery import find
from easymlnb.contract.bundle import Manifest, open_bundle, write
from easymlnb.contract.errors import (
    BundleRejected,
    EasyMLNBError,
    NotLoggedIn,
    NotReady,
    ServerUnreachable,
    from_code,
)
from easymlnb.publishing import bundle_upload
from easymlnb.publishing import publish as publishing
from easymlnb.publishing.bundle_upload import upload_bundle
from support.http_server import Answering, serving

ERROR = {
    "code": "deployment_failed",
    "message": "Cell 1 raised ValueError: no.",
    "cell": 0,
    "source": "raise ValueError('no')",
    "traceback": "Traceback ...\nValueError: no",
}


AWAY = {"away": 503, "no route": 404, "stopped": 424}
"""How proxies and Hubs answer in place of a server that is being started again."""


@dataclass
class Fake:
    """What the server was sent, and what it will say: a list of states, one per question."""

    url: str = ""
    states: list[str] = field(default_factory=lambda: ["starting", "ready"])
    bundles: list[bytes] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    refusal: EasyMLNBError | None = None

    def status(self) -> dict[str, Any]:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        bundle = open_bundle(self.bundles[-1]).id
        told: dict[str, Any] = {"bundle": bundle, "state": state, "services": []}
        if state == "ready":
            told["services"] = [{"name": "roll", "version": 3}]
        if state == "failed":
            told["error"] = ERROR
        return told


class Handler(Answering):
    fake: ClassVar[Fake]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "token t":
            return self.answer(403, b"<html>Forbidden</html>")
        assert self.path.startswith("/easymlnb/services")
        assert self.headers["Content-Type"] == "application/zip"
        if self.fake.refusal:
            said = json.dumps(self.fake.refusal.to_dict()).encode()
            return self.answer(self.fake.refusal.status, said)
        self.fake.bundles.append(body)
        self.fake.queries.append(self.path.partition("?")[2])
        self.answer(202, json.dumps(self.fake.status()).encode())

    def do_GET(self) -> None:
        if self.path.endswith("health/live"):
            return self.answer(200, b"{}")
        bundle = open_bundle(self.fake.bundles[-1]).id
        assert self.path == f"/easymlnb/bundles/{bundle}"
        status = self.fake.status()
        if status["state"] in AWAY:
            return self.answer(AWAY[status["state"]], b"<html>proxy</html>")
        self.answer(200, json.dumps(status).encode())


@pytest.fixture
def fake() -> Iterator[Fake]:
    kind = type("Ours", (Handler,), {"fake": Fake()})
    with serving(kind) as address:
        kind.fake.url = f"{address}/"
        yield kind.fake


def bundle() -> bytes:
    cells = [{"cell_type": "code", "source": "1", "metadata": {}}]
    return write(Manifest(notebook="n.ipynb"), {"nbformat": 4, "metadata": {}, "cells": cells}, {})


def test_sending_follows_a_bundle_until_it_serves(fake: Fake) -> None:
    fake.states = ["starting", "starting", *AWAY, "ready"]
    seen: list[str] = []
    status = upload_bundle(find(fake.url, "t"), bundle(), names=["a", "b"], on_text=seen.append)
    assert status["services"] == [{"name": "roll", "version": 3}]
    assert seen == [bundle_upload.STATES["starting"], bundle_upload.STATES["ready"]]
    assert fake.queries == ["name=a&name=b"]
    assert open_bundle(fake.bundles[0]).manifest.notebook == "n.ipynb"


def test_what_is_published_already_is_not_waited_for(fake: Fake) -> None:
    fake.states = ["ready"]
    assert upload_bundle(find(fake.url, "t"), bundle())["state"] == "ready"


def test_sending_need_not_wait(fake: Fake) -> None:
    fake.states = ["starting"]
    assert upload_bundle(find(fake.url, "t"), bundle(), wait=False)["state"] == "starting"


def test_a_bundle_that_fails_raises_with_its_cell(fake: Fake) -> None:
    fake.states = ["starting", "failed"]
    with pytest.raises(EasyMLNBError, match="Cell 1 raised") as caught:
        upload_bundle(find(fake.url, "t"), bundle())
    assert caught.value.code == "deployment_failed"
    assert caught.value.details == {name: ERROR[name] for name in ("cell", "source", "traceback")}


def test_waiting_has_an_end(fake: Fake) -> None:
    fake.states = ["starting"]
    with pytest.raises(NotReady, match="still starting after 0 s"):
        upload_bundle(find(fake.url, "t"), bundle(), timeout=0)


def test_refusals_arrive_as_they_were_raised(fake: Fake) -> None:
    fake.refusal = BundleRejected("Not like this.")
    with pytest.raises(BundleRejected, match="Not like this"):
        upload_bundle(find(fake.url, "t"), bundle())
    with pytest.raises(EasyMLNBError) as caught:
        upload_bundle(find(fake.url, "wrong"), bundle())
    assert caught.value.status in (NotLoggedIn.status, 403)


def test_a_server_that_is_not_there_is_said() -> None:
    with pytest.raises(ServerUnreachable, match="Check that the server is running"):
        upload_bundle(find("http://127.0.0.1:9/", "t"), bundle())


def test_a_failure_without_words_still_has_some() -> None:
    assert "failed to start" in bundle_upload.failure({}).message
    assert from_code("deployment_failed", "x").code == bundle_upload.failure({}).code


def test_a_failed_bundle_shows_cell_and_traceback() -> None:
    details = {"cell": 1, "line": 3, "source": "1/0", "traceback": "Z\n"}
    lines = list(bundle_upload.describe_failure(details, "http://h/"))
    assert lines == ["Cell 2 failed at line 3:", "    1/0", "    Z"]
    long = list(bundle_upload.describe_failure({"source": "x\n" * 99}, "http://h/"))
    assert long[0] == "    ... (69 lines)" and len(long[1].splitlines()) == 30


# from a kernel

ROLL = "import easymlnb as ml\n\n@ml.service\ndef roll(sides: int = 6) -> int:\n    return sides\n"


def save(path: Path, *sources: str) -> None:
    cells = [
        {
            "cell_type": "code",
            "source": source.splitlines(keepends=True),
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        for source in sources
    ]
    notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells}
    path.write_text(json.dumps(notebook))


Run = Callable[[str], tuple[str, str]]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Path]]:
    """A real kernel in a notebook's folder: runs code, gives what it printed and its error."""
    folder = tmp_path_factory.mktemp("work")
    hidden = ("EASYMLNB_", "JPY_")
    env = {name: text for name, text in os.environ.items() if not name.startswith(hidden)}
    env |= {"JPY_SESSION_NAME": str(folder / "dice.ipynb"), "EASYMLNB_TOKEN": "t"}
    env["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")
    manager, client = start_new_kernel(env=env, cwd=str(folder))
    # No server runs here, which the first decorated cell would warn of.
    run(client, "import warnings; warnings.filterwarnings('ignore', '.*Jupyter server of this')")
    try:
        yield (lambda code: run(client, code)), folder
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def run(client: BlockingKernelClient, code: str) -> tuple[str, str]:
    printed: list[str] = []

    def hook(message: dict[str, Any]) -> None:
        content = message["content"]
        printed.append(content.get("text") or content.get("data", {}).get("text/plain", ""))

    reply = client.execute_interactive(code, output_hook=hook, timeout=60)["content"]
    return "".join(printed), f"{reply.get('ename', '')}: {reply.get('evalue', '')}".strip(": ")


@pytest.fixture
def at(kernel: tuple[Run, Path], fake: Fake) -> tuple[Run, Path, Fake]:
    run, folder = kernel
    for path in folder.glob("*.ipynb"):
        path.unlink()
    run(f"import os; os.environ['EASYMLNB_URL'] = {fake.url!r}")
    return run, folder, fake


def test_publishing_a_saved_notebook(at: tuple[Run, Path, Fake]) -> None:
    run, folder, fake = at
    (folder / "tools.py").write_text("x = 1\n")
    save(folder / "dice.ipynb", "import tools", "# before\n" + ROLL + "# after\n", "roll.publish()")
    assert run("# before\n" + ROLL + "# after\n") == ("", "")
    printed, error = run("roll.publish()")
    assert error == ""
    assert "dice.ipynb" in printed and "tools.py" in printed and "runs" in printed
    assert "roll version 3 is published." in printed
    for address in ("apps/roll", "services/roll/page", "services/roll"):
        assert f"{fake.url}easymlnb/{address}\n" in f"{printed}\n"
    sent = open_bundle(fake.bundles[0])
    assert list(sent.manifest.files) == ["tools.py"]
    assert sent.manifest.services == () and fake.queries == ["name=roll"]
    fake.states = ["ready"]
    assert run("roll.publish(owner='lab')")[1] == ""
    assert fake.queries[1:] == ["name=roll&owner=lab"]


def test_publishing_asks_to_save_first(at: tuple[Run, Path, Fake]) -> None:
    run, folder, fake = at
    save(folder / "dice.ipynb", ROLL)
    run(ROLL.replace("return sides", "return sides + 1"))
    _, error = run("roll.publish()")
    assert error.startswith("EasyMLNBError: Save the notebook first: 'roll' in 'dice.ipynb'")
    assert fake.bundles == []
    save(folder / "dice.ipynb", ROLL.replace("return sides", "return sides + 1  \n\n"))
    assert run("roll.publish()")[1] == ""


def test_publishing_a_pipeline_asks_to_save_its_steps(at: tuple[Run, Path, Fake]) -> None:
    run, folder, fake = at
    step, made = "def twice(x: int) -> int:\n    return 2 * x\n", "both = ml.pipeline(twice, roll)"
    save(folder / "dice.ipynb", ROLL, step, made)
    run(ROLL)
    run(step.replace("2 * x", "3 * x"))
    run(made)
    assert run("both.publish()")[1].startswith("EasyMLNBError: Save the notebook first")
    run(step)
    run(made)
    assert run("both.publish()")[1] == ""
    assert fake.queries == ["name=twice_roll"]


def test_a_renamed_notebook_is_found(at: tuple[Run, Path, Fake]) -> None:
    run, folder, fake = at
    run(ROLL)
    assert run("roll.publish()")[1].startswith("EasyMLNBError: The notebook to publish")
    save(folder / "renamed.ipynb", ROLL)
    save(folder / "other.ipynb", "1")
    assert run("roll.publish()")[1] == ""
    assert open_bundle(fake.bundles[0]).manifest.notebook == "renamed.ipynb"
    save(folder / "copy.ipynb", ROLL)
    assert run("roll.publish()")[1].startswith("EasyMLNBError: The notebook to publish")
    assert run("roll.publish(notebook='copy.ipynb')")[1] == ""
    assert run("roll.publish(notebook='other.ipynb')")[1].startswith("EasyMLNBError: Save the")
    assert run("roll.publish(notebook='gone.ipynb')")[1].startswith("BundleRejected: There is no")


def test_magics_in_a_function_do_not_matter(at: tuple[Run, Path, Fake]) -> None:
    run, folder, _fake = at
    magic = ROLL.replace("    return", "    now = %time 1\n    return")
    save(folder / "dice.ipynb", magic)
    run(magic)
    assert run("roll.publish()")[1] == ""


def test_a_failure_shows_cell_and_traceback(at: tuple[Run, Path, Fake]) -> None:
    run, folder, fake = at
    fake.states = ["starting", "failed"]
    save(folder / "dice.ipynb", ROLL)
    run(ROLL)
    printed, error = run("roll.publish()")
    assert error == "DeploymentFailed: Cell 1 raised ValueError: no."
    assert "Cell 1 failed:\n    raise ValueError('no')\n    Traceback" in printed


def test_a_worker_publishes_nothing(at: tuple[Run, Path, Fake]) -> None:
    run, folder, fake = at
    save(folder / "dice.ipynb", ROLL)
    run(ROLL)
    code = (
        "from easymlnb.publishing.publish import publish; os.environ['EASYMLNB_WORKER'] = '1'; {}"
    )
    try:
        assert run(code.format("print(roll.publish(), publish('roll'))")) == ("None None\n", "")
    finally:
        run("del os.environ['EASYMLNB_WORKER']")
    assert fake.bundles == []


def test_results_read_like_sentences() -> None:
    def told(**more: Any) -> str:
        values: dict[str, Any] = {"service": "roll", "version": 2, "url": "http://h/x"} | more
        return repr(publishing.Published(**values, app="http://h/app", page="http://h/page"))

    head, *links = told().splitlines()
    assert head == "roll version 2 is published."
    assert [line.split()[-1] for line in links] == ["http://h/app", "http://h/page", "http://h/x"]
    assert told(unchanged=True).splitlines()[0] == "roll version 2 is published (unchanged)."
    assert told(version=None).startswith("roll is starting.")
    assert told(public="http://h/public").endswith("Public link:   http://h/public")


def test_names_of_collaborative_sessions_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JPY_SESSION_NAME", "some/folder/RTC:n.ipynb")
    save(tmp_path / "n.ipynb", "def f(): ...")

    def elsewhere() -> None: ...

    assert publishing.find_notebook(elsewhere, "f", None) == tmp_path / "n.ipynb"
