"""Who gets into the shared service: users of the Hub, by its login and tokens, as it says now."""

import asyncio
import dataclasses
import os
import re
import signal
from collections.abc import Iterator

import httpx
import pytest

from easymlnb.contract.errors import Forbidden
from easymlnb.contract.hub_config import ACCESS, ROLE, TOKENS, USERS
from easymlnb_server.placement.hub.client import HubClient
from easymlnb_server.placement.hub.credentials import HubCredentials
from support.hub.shared_service import Member, ServiceHub, logged_in

LATER = 60.0
"""Seconds until a change at the Hub shows; the tests' service keeps the Hub's word for five."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def bob(service_hub: ServiceHub) -> Iterator[Member]:
    made = service_hub.member("bob")
    yield made
    made.http.close()


def own_xsrf(browser: httpx.Client) -> str:
    found = [
        one.value
        for one in browser.cookies.jar
        if one.name == "_xsrf" and one.path == "/services/easymlnb/"
    ]
    assert len(found) == 1
    return found[0] or ""


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def code_of(answer: httpx.Response) -> str:
    return "" if answer.status_code == 200 else code(answer)


def test_people_log_in_at_the_hub_and_come_back(service_hub: ServiceHub) -> None:
    with logged_in(service_hub, "bob") as browser:
        told = browser.get(f"{service_hub.service_url}me").json()
        assert (told["name"], told["groups"], told["admin"]) == ("bob", ["ml"], False)
        # The cookie goes nowhere else, neither to users' servers nor to the Hub.
        ours = [one for one in browser.cookies.jar if one.name == "service-easymlnb"]
        assert [one.path for one in ours] == ["/services/easymlnb/"]
        assert ours[0].has_nonstandard_attr("HttpOnly")


def test_a_page_elsewhere_cannot_act_with_the_cookie(service_hub: ServiceHub) -> None:
    with logged_in(service_hub, "bob") as browser:
        url = f"{service_hub.service_url}services"
        headers = {"Content-Type": "application/zip"}
        answer = browser.post(url, content=b"no bundle", headers=headers)
        assert (answer.status_code, code(answer)) == (401, "not_logged_in")
        fetched = {**headers, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site"}
        assert browser.post(url, content=b"no bundle", headers=fetched).status_code == 401
        proven = {**headers, "X-XSRFToken": own_xsrf(browser)}
        answer = browser.post(url, content=b"no bundle", headers=proven)
        assert (answer.status_code, code(answer)) == (400, "bundle_rejected")


@pytest.mark.parametrize("scheme", ["token", "Bearer"])
def test_scripts_come_with_tokens_of_the_hub(bob: Member, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {bob.token}"}
    assert bob.http.get("me", headers=headers).json()["name"] == "bob"


@pytest.mark.parametrize("token", ["x", "x" * 32, "\u00e9"])
def test_nobody_else_gets_in(service_hub: ServiceHub, token: str) -> None:
    headers = {"Authorization": f"token {token}".encode()}
    for sent in (headers, {}):
        answer = httpx.get(f"{service_hub.service_url}services", headers=sent, timeout=60)
        assert (answer.status_code, code(answer)) == (401, "not_logged_in")


def test_token_in_the_address_opens_nothing(service_hub: ServiceHub, bob: Member) -> None:
    answer = httpx.get(f"{service_hub.service_url}services?token={bob.token}", timeout=60)
    assert answer.status_code == 401


def test_token_that_is_not_good_for_it_is_told_the_lines(service_hub: ServiceHub) -> None:
    narrow = service_hub.member("bob", scopes=["read:users:activity!user"])
    answer = narrow.http.get("services")
    narrow.http.close()
    assert (answer.status_code, code(answer)) == (403, "forbidden")
    message = answer.json()["error"]["message"]
    assert ACCESS in message
    assert USERS in message
    assert TOKENS in message


def test_another_service_of_the_hub_is_nobody(service_hub: ServiceHub) -> None:
    headers = {"Authorization": f"token {service_hub.token}"}
    answer = httpx.get(f"{service_hub.service_url}services", headers=headers, timeout=60)
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["api/contents", "api/kernels", "api/terminals", "api/me", "tree"])
def test_nothing_of_jupyters_own_is_open_even_beside_the_proxy(
    service_hub: ServiceHub, path: str
) -> None:
    admin = service_hub.member("dora")
    port = next(one.laddr.port for one in service_hub.service().net_connections() if not one.raddr)
    for method in ("GET", "POST"):
        answer = httpx.request(
            method,
            f"http://127.0.0.1:{port}/services/{path}",
            headers=admin.http.headers,
            timeout=60,
        )
        assert answer.status_code in (302, 403, 404), (method, path, answer.text)
        assert "login" in answer.headers.get("Location", "login")
    admin.http.close()


def test_revoked_token_is_of_no_use_soon(service_hub: ServiceHub) -> None:
    short = service_hub.member("bob")
    assert short.http.get("me").status_code == 200
    service_hub.api.delete(f"users/bob/tokens/{short.token_id}").raise_for_status()
    service_hub.wait_for(
        lambda: short.http.get("me").status_code == 401, "the token still works", LATER
    )
    short.http.close()


def test_groups_are_those_of_now(service_hub: ServiceHub, bob: Member) -> None:
    def groups() -> list[str]:
        found: list[str] = bob.http.get("me").json()["groups"]
        return found

    assert groups() == ["ml"]
    service_hub.group("DELETE", "ml", "bob")
    try:
        service_hub.wait_for(lambda: groups() == [], "still a member", LATER)
    finally:
        service_hub.group("POST", "ml", "bob")
    service_hub.wait_for(lambda: groups() == ["ml"], "not a member again", LATER)


def test_while_the_hub_is_away_only_known_callers_get_in_for_a_moment(
    service_hub: ServiceHub,
) -> None:
    known, unknown = service_hub.member("bob"), service_hub.member("carol")
    assert service_hub.process is not None
    assert known.http.get("me").status_code == 200
    os.kill(service_hub.process.pid, signal.SIGSTOP)
    try:
        assert known.http.get("me").status_code == 200
        answer = unknown.http.get("me")
        assert (answer.status_code, code(answer)) == (503, "not_ready")
        assert "Hub" in answer.json()["error"]["message"]
        # The Hub's word on the first gets too old, and nobody gets in without any.
        service_hub.wait_for(
            lambda: code_of(known.http.get("me")) == "not_ready", "an old word is still good", LATER
        )
    finally:
        os.kill(service_hub.process.pid, signal.SIGCONT)
    service_hub.wait_for(
        lambda: unknown.http.get("me").status_code == 200, "nobody gets in again", LATER
    )
    known.http.close()
    unknown.http.close()


def test_without_its_role_the_service_quotes_it(service_hub: ServiceHub) -> None:
    narrow = service_hub.member("carol", scopes=["read:users:activity!user"])
    narrow.http.close()
    environment = {
        "JUPYTERHUB_API_URL": f"{service_hub.url}/hub/api",
        "JUPYTERHUB_API_TOKEN": narrow.token,
        "JUPYTERHUB_SERVICE_PREFIX": "/services/easymlnb/",
        "JUPYTERHUB_PUBLIC_URL": service_hub.service_url,
    }
    account = HubCredentials.for_service(environment)

    async def ask() -> None:
        api = HubClient(dataclasses.replace(account, user="carol"))
        try:
            await api.start("easymlnb-gpu-1", "", {})
        finally:
            await api.close()

    with pytest.raises(Forbidden, match=re.escape(ROLE)):
        asyncio.run(ask())
