"""Whatever authors and callers write on an app page is text, and no message runs code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browser import run, visit
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

pytestmark = pytest.mark.timeout(300)

CANARY = "http://127.0.0.1:9/canary"
"""A request to this address, or a dialog, fails the test that caused it."""

NASTY = (
    f"<script>alert(1)</script><img src={CANARY} onerror=alert(2)>"
    f"<svg onload=alert(3)></svg><a href=javascript:alert(4)>click</a>"
    f"<style>@import '{CANARY}'</style><iframe src={CANARY}></iframe>"
    f"</script><script src={CANARY}></script>"
)

AUTHOR = f"""
from typing import Annotated, Literal
from pydantic import Field
import easymlnb as ml
N = {NASTY!r}

@ml.service(
    public=True, title="T " + N, description="D " + N + " [x](javascript:alert(5))",
    author="A " + N, license="L " + N, tags=["t" + N], examples=[{{"text": N, "choice": N}}],
)
def nasty(
    text: Annotated[str, Field(title="F " + N, description="H " + N)] = N,
    choice: Literal["a", {NASTY!r}] = "a",
) -> dict[str, str]:
    print(N)
    return {{N: text + N}}

@ml.service(public=True, title="Fails")
def fails(text: str = N) -> str:
    raise ml.ServiceError("oops", N)
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("inert")
    with running_server(folder, make_notebook(AUTHOR), app_kernels=1) as server:
        yield server


def quiet(page: Any) -> None:
    """Give everything that could still run the time to."""
    page.wait_for_timeout(500)
    assert page.evaluate("document.querySelectorAll('iframe, object, embed').length") == 0


def test_texts_of_the_author_are_inert(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.open("public/nasty")
        assert page.title().startswith("T <script>")
        result = run(page)
        result.get_by_text("<script>alert(1)").first.wait_for()
        for tab in page.get_by_role("tab").all():
            tab.click()
        quiet(page)


def test_texts_of_the_caller_are_inert(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.open("public/fails")
        page.get_by_label("Text", exact=True).first.fill(NASTY)
        page.locator(".em-form .em-primary").click()
        page.locator(".em-form .em-failure, .em-form .em-error").first.wait_for()
        quiet(page)


def test_a_script_in_the_page_is_not_run(apps: RunningServer, chromium: Any) -> None:
    with visit(chromium, apps) as anybody:
        page = anybody.open("public/fails")
        # Even markup that got past everything else meets the page's policy.
        page.evaluate(
            "html => { const at = document.createElement('div'); at.innerHTML = html;"
            " document.querySelector('main').append(at); }",
            "<img src='data:,' onerror='window.ran = 1'><b onclick='window.ran = 1'>x</b>",
        )
        quiet(page)
        assert page.evaluate("window.ran") is None


REQUESTS = """async ([v1, channel, buffers, code]) => {
    const { base, session } = document.documentElement.dataset;
    const url = new URL(`${base}api/kernels/${session}/channels`, location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = new WebSocket(url, v1 ? ['v1.kernel.websocket.jupyter.org'] : []);
    socket.binaryType = 'arraybuffer';
    await new Promise((done, failed) => { socket.onopen = done; socket.onerror = failed; });
    const header = { msg_id: 'x', msg_type: 'execute_request', session: 's', username: '' };
    const content = { code, silent: false, store_history: false, user_expressions: {} };
    const utf8 = (value) => new TextEncoder().encode(JSON.stringify(value));
    const join = (parts, size, table) => {
        const all = new Uint8Array(table.byteLength + parts.reduce((n, p) => n + p.length, 0));
        all.set(new Uint8Array(table), 0);
        let at = table.byteLength;
        for (const part of parts) { all.set(part, at); at += part.length; }
        return all;
    };
    if (v1) {
        const name = new TextEncoder().encode(channel);
        const parts = [name, utf8(header), utf8({}), utf8({}), utf8(content)];
        for (let i = 0; i < buffers; i += 1) parts.push(new Uint8Array([1, 2]));
        const table = new DataView(new ArrayBuffer(8 * (parts.length + 2)));
        table.setBigUint64(0, BigInt(parts.length + 1), true);
        let at = table.byteLength;
        parts.forEach((part, i) => {
            table.setBigUint64(8 * (i + 1), BigInt(at), true);
            at += part.length;
        });
        table.setBigUint64(8 * (parts.length + 1), BigInt(at), true);
        socket.send(join(parts, 8, table.buffer));
    } else {
        const message = { channel, header, parent_header: {}, metadata: {}, content };
        if (!buffers) socket.send(JSON.stringify(message));
        else {
            const parts = [utf8(message), new Uint8Array([1, 2])];
            const table = new DataView(new ArrayBuffer(12));
            table.setUint32(0, 2);
            table.setUint32(4, 12);
            table.setUint32(8, 12 + parts[0].length);
            socket.send(join(parts, 4, table.buffer));
        }
    }
    await new Promise((done) => setTimeout(done, 300));
    socket.close();
}"""


@pytest.mark.parametrize(
    ("v1", "channel", "buffers"),
    [(True, "shell", 0), (True, "control", 1), (False, "shell", 0), (False, "shell", 1)],
)
def test_execute_request_has_no_effect(
    apps: RunningServer, chromium: Any, tmp_path: Path, v1: bool, channel: str, buffers: int
) -> None:
    marker = tmp_path / "marker"
    code = f"open({str(marker)!r}, 'w').close()"
    before = apps.log.count("'execute_request' on")
    with visit(chromium, apps) as anybody:
        page = anybody.open("public/fails")
        page.evaluate(REQUESTS, [v1, channel, buffers, code])
        apps.wait_for(
            lambda: apps.log.count("'execute_request' on") > before, "it was not even looked at"
        )
    assert not marker.exists()
