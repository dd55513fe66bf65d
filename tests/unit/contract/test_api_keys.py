"""The text of API keys."""

import re

import pytest

from easymlnb.client.discovery import Server, find
from easymlnb.contract import api_keys
from easymlnb.contract.errors import NotLoggedIn


def test_keys_are_long_random_and_found_by_scanners() -> None:
    keys = {api_keys.generate() for _ in range(200)}
    assert len(keys) == 200
    for key in keys:
        assert re.fullmatch(api_keys.PATTERN, key) and api_keys.is_complete(key)


def test_every_typo_is_found_offline() -> None:
    key = api_keys.generate()
    for place in range(len(api_keys.PREFIX), len(key)):
        wrong = "x" if key[place] != "x" else "y"
        assert not api_keys.is_complete(key[:place] + wrong + key[place + 1 :])
    for wrong in (key[:-1], key + "a", f" {key}", f"{key}\n", "emnb_", ""):
        assert not api_keys.is_complete(wrong)
    with pytest.raises(NotLoggedIn, match="typo"):
        Server("http://localhost/easymlnb/", key[:-1])
    assert Server("http://localhost/easymlnb/", key).headers["Authorization"].endswith(key)
    with pytest.raises(NotLoggedIn, match="not accepted in URLs"):
        find(f"http://localhost:8888/?token={key}")
