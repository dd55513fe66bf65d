"""Links of the form under a cell: where they lead, with a server and without."""

import re

from easymlnb.forms.header import page_links


def test_links_lead_to_the_pages_of_the_service():
    shown = page_links("roll", "http://127.0.0.1:8888/user/a/")
    assert re.findall(r'href="http://127\.0\.0\.1:8888/user/a/easymlnb/([^"]*)"', shown) == [
        "apps/roll",
        "docs#tag-roll",
        "services/roll/page",
        "",
    ]
    for path, marked in re.findall(r'easymlnb/([^"]*)" data-easymlnb="([^"]*)"', shown):
        assert path == marked


def test_without_a_server_there_are_none():
    assert page_links("roll", "") == ""


def test_an_address_ends_no_attribute():
    assert 'onclick="' not in page_links("roll", 'http://x/"onclick="')
