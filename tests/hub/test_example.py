"""The whole way in a browser: a GPU service from JupyterLab to a colleague, and to nobody else."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from support.browser import serious
from support.hub.shared_service import ServiceHub
from support.notebooks import make_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

SERVICE = '''
import os
import easymlnb as ml

@ml.service(placement="gpu", title="Where it runs", examples=[{"text": "hi"}])
def where(text: str = "hello") -> str:
    """Says where it runs."""
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    home = os.path.basename(os.path.expanduser("~"))
    return f"{text}: GPU {gpu} of {home}"
'''
PUBLISH = "where.publish()"
SHARE = 'where.share(groups=["ml"])'
# A job of Slurm has the PATH of a login shell.
LIST = "import os, sys\n!{os.path.dirname(sys.executable)}/easymlnb list"

RUN_ALL = """async () => {
    const app = window.jupyterapp;
    // The notebook may be seen a moment before it is the current one.
    while (!app.shell.currentWidget?.sessionContext) await new Promise((go) => setTimeout(go, 50));
    const context = app.shell.currentWidget.sessionContext;
    await context.ready;
    await context.session.kernel.info;
    app.commands.execute('notebook:run-all-cells');
}"""

LIMIT = 240_000
"""Milliseconds: nodes start meanwhile."""


@pytest.fixture(scope="module", params=["local", "slurm"])
def hub(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceHub]:
    """A Hub with the shared service: nodes are processes, or jobs of Slurm where there is one."""
    if request.param == "local":
        yield request.getfixturevalue("service_hub")
        return
    cluster = request.getfixturevalue("cluster")
    made = ServiceHub(tmp_path_factory.mktemp("slurm-service"), cluster.variables)
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Browser:
    """Somebody's browser, logged in at the Hub when it asks for that."""

    def __init__(self, chromium: Any, hub: ServiceHub, name: str) -> None:
        self.hub, self.name = hub, name
        self.context = chromium.new_context(viewport={"width": 1300, "height": 1000})
        self.context.set_default_timeout(90_000)
        self.page = self.context.new_page()

    def open(self, url: str) -> Any:
        self.page.goto(url)
        if "/hub/login" in self.page.url:
            self.page.get_by_label("Username").fill(self.name)
            self.page.get_by_label("Password").fill(self.hub.password)
            self.page.locator("#login_submit").click()
            self.page.wait_for_url(f"{url.partition('?')[0]}*")
        return self.page

    def keep(self, what: str) -> None:
        """Keep how it looks where ``EASYMLNB_SHOTS`` says, for people to look at."""
        if folder := os.environ.get("EASYMLNB_SHOTS"):
            self.page.screenshot(path=Path(folder) / f"example-{self.name}-{what}.png")


@pytest.fixture
def browser(hub: ServiceHub, chromium: Any) -> Iterator[Any]:
    opened: list[Browser] = []

    def start(name: str) -> Browser:
        opened.append(Browser(chromium, hub, name))
        return opened[-1]

    yield start
    for one in opened:
        one.context.close()


def test_a_gpu_service_from_jupyterlab_for_a_group_and_nobody_else(
    hub: ServiceHub, browser: Any
) -> None:
    alice, bob, carol = browser("alice"), browser("bob"), browser("carol")
    services = hub.service_url
    app = f"{services}apps/alice/where"

    # Alice writes a service in JupyterLab, publishes it and shares it, by running its cells.
    home = hub.folder / "homes/alice"
    home.mkdir(parents=True, exist_ok=True)
    nbformat.write(
        make_notebook(SERVICE, PUBLISH, SHARE, LIST, skip=(1, 2, 3)), home / "where.ipynb"
    )
    hub.serve("alice", profile="lab").http.close()
    try:
        lab = alice.open(f"{hub.url}/user/alice/lab/tree/where.ipynb?reset")
        lab.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        lab.evaluate(RUN_ALL)
        said = lab.locator(".jp-OutputArea-output")
        # Which version depends on what other tests published by that name: numbers only grow.
        published = re.compile(
            rf"alice/where version \d+ is published[^/]+{re.escape(services)}apps/alice/where"
        )
        said.get_by_text(published).wait_for(timeout=LIMIT)
        said.get_by_text(f"can be called by group ml. Its page: {app}").wait_for()
        # The command line there knows both, what is published and what is live.
        said.filter(has_text="STATE").filter(has_text="alice/where").filter(
            has_text="live"
        ).wait_for()
        alice.keep("lab")
        # It runs on her node, which the service started, and also live in her notebook.
        assert "easymlnb-gpu-1" in hub.servers("alice")
        page = alice.open(services)
        page.locator("li.service", has_text="alice/where").get_by_text("ml").wait_for()
        page.get_by_role("heading", name="On your own server").wait_for()
        assert page.locator("section", has_text="On your own server").get_by_text("live").count()
        alice.keep("catalog")

        # Bob, of that group, opens its page, logs in at the Hub, and gets an answer from the GPU.
        page = bob.open(app)
        page.locator(".em-form .em-primary").wait_for()
        page.get_by_label("Text", exact=True).fill("from bob")
        page.locator(".em-form .em-primary").click()
        page.locator(".em-parts").get_by_text("from bob: GPU 0 of alice").wait_for()
        bob.keep("app")
        catalog = bob.context.new_page()
        catalog.goto(services)
        catalog.locator("li.service", has_text="alice/where").wait_for()
        assert catalog.get_by_text("On your own server").count() == 0
        # What its scripts ask for goes through the Hub's checks, too.
        with catalog.expect_response(lambda answer: "q=nothing" in answer.url) as found:
            catalog.get_by_label("Search services").fill("nothing")
        assert found.value.request.resource_type == "fetch" and found.value.status == 200
        catalog.goto(f"{services}docs")
        catalog.locator("#operations section").first.wait_for()
        catalog.close()

        # Carol is of no group: for her it does not exist.
        page = carol.open(app)
        page.get_by_role("heading", name="Page not found").wait_for()
        page.get_by_text("There is no service named 'alice/where'").wait_for()
        page.get_by_text("You are logged in as carol").wait_for()
        assert serious(page) == []
        carol.keep("refused")
        page = carol.open(services)
        page.get_by_role("heading", name="No services yet").wait_for()

        # Alice takes it back on its page; Bob's page, open as it is, is closed to him.
        page = alice.open(f"{services}services/alice/where/page")
        assert page.get_by_label("Groups", exact=True).input_value() == "ml"
        page.get_by_label("Only you", exact=True).check()
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Only you and").wait_for()
        alice.keep("taken-back")
        bob.page.mouse.move(200, 200)
        bob.page.get_by_role("heading", name="Page not found").wait_for(timeout=60_000)
        bob.keep("closed")
    finally:
        with hub.member("alice").http as http:
            http.delete("services/alice/where")
        hub.stop_server("alice")
