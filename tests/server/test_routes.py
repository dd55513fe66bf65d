"""Every route and method without credentials, from another site, and under a base URL."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import RunningServer, free_port
from jupyter_server.serverapp import ServerWebApplication
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from easymlnb.contract.errors import Draining, EasyMLNBError, Forbidden, NotReady
from easymlnb_server.handlers.base import retry_after
from easymlnb_server.routes import ROUTES, SHARED_ROUTES

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
OPEN = {("health/live", "GET"), ("health/ready", "GET"), ("static/easymlnb.css", "GET")}
FOR_ALL = ("public/", "app-assets/")
"""Pages of public services, of which there are none here, and the files they are made with."""
EXAMPLES = {
    r"([A-Za-z0-9_-]+)": "some_service",
    r"([0-9a-f]{64})": "0" * 64,
    r"([0-9a-f]{32})": "0" * 32,
    r"([a-z]+\.[a-z]+)": "easymlnb.css",
    r"([A-Za-z0-9_-]{43})": "x" * 43,
    r"([0-9a-f-]{36})": "0" * 36,
    r"([0-9a-f]{12})/([A-Za-z0-9@._/-]+)": "0" * 12 + "/none.js",
    r"([A-Za-z0-9._-]{8,64})": "some-request",
    r"/?": "",
    r".*": "anything/else",
}


def path_of(pattern: str) -> str:
    for expression, example in EXAMPLES.items():
        pattern = pattern.replace(expression, example)
    pattern = pattern.replace("\\.", ".")
    assert re.fullmatch(r"[a-zA-Z0-9_./-]*", pattern), f"no example for {pattern}"
    return pattern


PATHS = [path_of(str(route[0])) for route in ROUTES]


@pytest.fixture(scope="module")
def anonymous(session_server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{session_server.url}easymlnb/", timeout=60) as client:
        yield client


@pytest.mark.parametrize("routes", [ROUTES, SHARED_ROUTES])
def test_jupyter_warns_of_no_route_at_the_start(routes: tuple[tuple[Any, ...], ...]) -> None:
    check = ServerWebApplication._check_handler_auth
    assert [said for path, handler, *_ in routes for said in check(Any, path, handler)] == []


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(NotReady("Away."), "2"), (Draining(), "5"), (Forbidden("No."), None)],
)
def test_who_may_try_again_is_told_when(error: EasyMLNBError, seconds: str | None) -> None:
    assert retry_after(error) == seconds


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS)
def test_nothing_without_credentials(anonymous: httpx.Client, path: str, method: str) -> None:
    answer = anonymous.request(method, path)
    if (path, method) in OPEN:
        assert answer.status_code == 200
    elif path.startswith(FOR_ALL):
        assert answer.status_code in (403, 404, 405), answer.text
    else:
        assert answer.status_code in (302, 401, 403, 405), answer.text
        if answer.status_code == 302:
            assert "/login" in answer.headers["Location"]


@pytest.mark.parametrize("token", ["x", "test-token-of-the-suit"])
@pytest.mark.parametrize("path", PATHS)
def test_nothing_with_a_wrong_token(anonymous: httpx.Client, path: str, token: str) -> None:
    if (path, "GET") not in OPEN and not path.startswith(FOR_ALL):
        answer = anonymous.get(path, headers={"Authorization": f"token {token}"})
        assert answer.status_code in (302, 401, 405)


@pytest.mark.parametrize("secret", ["", "easymlnb ", "easymlnb wrong", "token {token}"])
def test_link_wants_its_own_secret(session_server: RunningServer, secret: str) -> None:
    url = f"{session_server.url}easymlnb/link".replace("http", "ws", 1)
    headers = {"Authorization": secret.format(token=session_server.token)}
    with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
        pass
    assert refused.value.response.status_code == 401


@pytest.fixture
def browser(session_server: RunningServer) -> Iterator[httpx.Client]:
    """A browser's client: a cookie from logging in, and no token."""
    with httpx.Client(base_url=session_server.url, timeout=60) as client:
        client.get("easymlnb/", params={"token": session_server.token})
        assert client.cookies
        yield client


def test_cookie_opens_what_it_should(browser: httpx.Client) -> None:
    assert browser.get("easymlnb/services").status_code == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_cookie_alone_changes_nothing(browser: httpx.Client, method: str) -> None:
    answer = browser.request(method, "easymlnb/services/some_service/call")
    # POST has the route, DELETE not; neither gets that far.
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"


def test_cookie_with_its_xsrf_token_calls(browser: httpx.Client) -> None:
    answer = browser.post(
        "easymlnb/services/some_service/call",
        headers={"X-XSRFToken": browser.cookies["_xsrf"]},
        json={},
    )
    assert answer.json()["error"]["code"] == "service_not_found"


def test_everything_works_under_a_base_url(tmp_path: Path) -> None:
    server = RunningServer(tmp_path, free_port(), base="/user/ann/")
    server.start()
    try:
        assert server.http.get("services").json()["services"] == []
        page = server.http.get("").text
        assets = re.findall(r'(?:src|href)="([^"#]+)"', page)
        assert assets
        for asset in assets:
            assert asset.startswith("/user/ann/easymlnb/"), asset
            assert (
                httpx.get(
                    f"http://127.0.0.1:{server.port}{asset}",
                    headers={"Authorization": f"token {server.token}"},
                    timeout=60,
                ).status_code
                == 200
            )
    finally:
        server.stop()
