"""Hooks, and the fixtures that all kinds of tests share."""

import shutil
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from support.server import RunningServer, running_server

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    # A camera that films a test card.
    "--use-fake-device-for-media-stream",
]

ORDER = ("contracts", "unit", "integration", "browser")


def pytest_configure() -> None:
    """Hear SIGINT although the parent ignores it, as a shell does for what it starts with ``&``.

    What tests start would inherit the deafness, and tests that interrupt it would hang.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # On a busy machine examples are slow, not wrong.
    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick tests first, and those with a browser last; on PostgreSQL a test is slow.

    Playwright keeps an event loop running in the main thread while a browser is open, and
    ``asyncio.run`` of any later test would refuse to start another.
    """

    def place(item: pytest.Item) -> int:
        if item.get_closest_marker("browser"):
            return len(ORDER)
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return ORDER.index(folder) if folder in ORDER else -1

    items.sort(key=place)
    for item in items:
        # By its id: a parameter itself may be an array, which cannot be compared with text.
        parameters = getattr(item, "callspec", None)
        if parameters is not None and "postgresql" in parameters.id.split("-"):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What runs the tests that are coroutines."""
    return "asyncio"


@pytest.fixture(scope="session")
def session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests that leave it as they found it."""
    with running_server(tmp_path_factory.mktemp("server"), app_kernels=1) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of the test's own, to be killed and restarted."""
    with running_server(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium of this machine."""
    path = next((one for one in CHROMIUM if Path(one).exists()), None) or shutil.which("chromium")
    if find_spec("playwright") is None:
        pytest.skip("playwright is not installed (pip install easymlnb[dev])")
    if path is None:
        pytest.skip("there is no Chromium on this machine (apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()
