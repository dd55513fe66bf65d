"""Where webhooks may lead."""

from ipaddress import ip_address

import pytest

from easymlnb.contract.errors import BadRequest
from easymlnb_server.webhooks.hosts import AllowedHosts, destination, is_public

ALLOWED = AllowedHosts.parse(
    ["hooks.example.org", "*.internal.example.org", "10.1.0.0/16", "192.0.2.7", "localhost"]
)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://hooks.example.org/jobs?x=1", "hooks.example.org", 443),
        ("https://HOOKS.example.org.:8443/", "hooks.example.org", 8443),
        ("https://a.b.internal.example.org/", "a.b.internal.example.org", 443),
        ("http://10.1.2.3:5000/x", "10.1.2.3", 5000),
        ("http://192.0.2.7/", "192.0.2.7", 80),
    ],
)
def test_listed_hosts(url: str, host: str, port: int) -> None:
    found = ALLOWED.check(url)
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/",
        "https://evil-hooks.example.org/",
        "https://internal.example.org/",
        "https://hooks.example.org.evil.org/",
        "https://127.0.0.1/",
        "https://10.2.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:10.1.2.3]/",
    ],
)
def test_other_hosts_are_refused_with_the_setting_to_change(url: str) -> None:
    with pytest.raises(BadRequest, match="webhook_hosts"):
        ALLOWED.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.org",
        "ftp://hooks.example.org/",
        "file:///etc/passwd",
        "https:///x",
        "https://hooks.example.org:99999/",
        "https://ann:secret@hooks.example.org/",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/\n",
        "https://h\u00f6oks.example.org/",
    ],
)
def test_what_is_no_url_of_a_webhook(url: str) -> None:
    with pytest.raises(BadRequest):
        destination(url)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_private_addresses(text: str, public: bool) -> None:
    assert is_public(ip_address(text)) is public


def test_an_address_is_checked_after_the_look_up() -> None:
    target = ALLOWED.check("https://hooks.example.org/")
    ALLOWED.check_address(target, ip_address("93.184.216.34"))
    with pytest.raises(BadRequest, match=r"private address 10\.2\.0\.1"):
        ALLOWED.check_address(target, ip_address("10.2.0.1"))
    ALLOWED.check_address(target, ip_address("10.1.0.1"))  # listed
    plain = ALLOWED.check("http://hooks.example.org/")
    with pytest.raises(BadRequest, match="must use https"):
        ALLOWED.check_address(plain, ip_address("93.184.216.34"))


@pytest.mark.parametrize("entry", ["", "*", "a.*.org", "https://x.org", "x.org/path", "x.org:80"])
def test_invalid_entries_of_the_setting(entry: str) -> None:
    with pytest.raises(ValueError, match="not a host"):
        AllowedHosts.parse([entry])
