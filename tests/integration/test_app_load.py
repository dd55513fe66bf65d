"""Fifty visitors at once who open a page, use it, and leave: nothing of them stays."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from websockets.sync.client import connect

from support.browser import SERVICES, form_kernels
from support.notebooks import make_notebook
from support.server import RunningServer, running_server

pytestmark = pytest.mark.timeout(300)  # fifty pages, and the time until their kernels end

VISITORS = 50


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    options = (
        "--EasyMLNB.app_pages_per_kernel=15",
        "--EasyMLNB.app_open_timeout=30",
        "--EasyMLNB.app_reconnect_timeout=3",
    )
    folder = tmp_path_factory.mktemp("storm")
    with running_server(folder, make_notebook(SERVICES), app_kernels=2, options=options) as server:
        yield server


def visit(server: RunningServer, number: int) -> int:
    """Open a page and its line; every third visitor never comes back for it, as robots do."""
    with httpx.Client(base_url=f"{server.url}easymlnb/", timeout=120) as client:
        page = client.get("public/shout")
        while not (found := re.search(r'"kernelId": "([0-9a-f-]+)"', page.text)):
            assert page.headers["Retry-After"]
            page = client.get("public/shout")
        if number % 3 == 0:
            return page.status_code
        cookies = "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar)
    url = f"{server.url}easymlnb/public/shout/api/kernels/{found[1]}/channels"
    with connect(
        url.replace("http", "ws", 1), additional_headers={"Cookie": cookies}, open_timeout=60
    ) as line:
        line.send('{"header": {"msg_type": "kernel_info_request", "msg_id": "1"}, "content": {}}')
        assert "kernel_info_reply" in str(line.recv(timeout=60))
    return page.status_code


def test_fifty_come_and_go(apps: RunningServer) -> None:
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(lambda number: visit(apps, number), range(VISITORS))) == {200}
    # All fifty fit into four; the pool may have got one more ready for who might come next.
    assert 2 <= len(form_kernels(apps)) <= 8
    apps.wait_for(lambda: len(form_kernels(apps)) == 2, "not two kernels stayed", 150)
    # Empty ones carry nothing of the visitors either.
    sizes = [one.memory_info().rss for one in form_kernels(apps)]
    assert all(size < 150e6 for size in sizes), sizes
    assert visit(apps, 1) == 200


def test_all_end_with_the_server(apps: RunningServer) -> None:
    kernels = form_kernels(apps)
    assert kernels
    apps.stop()
    assert not [one for one in kernels if psutil.pid_exists(one.pid)]
