"""No text for people contains a credential, in whichever notation."""

import html
import json
from urllib.parse import quote

from easymlnb.contract.masking import mask, patterns

SECRET = 'pä"ss/w\\rd&1'


def test_every_notation_of_a_value_is_replaced() -> None:
    found = patterns([SECRET])
    for shown in (
        SECRET,
        repr(SECRET),
        json.dumps(SECRET),
        quote(SECRET, safe=""),
        html.escape(SECRET),
    ):
        assert mask({"text": [f"a {shown} b"]}, found)["text"][0].count("***") == 1


def test_lines_of_a_long_value_and_values_in_others() -> None:
    key = "-----BEGIN KEY-----\nabcdefghijklmnopqrst\n-----END KEY-----\n"
    assert mask("see abcdefghijklmnopqrst", patterns([key])) == "see ***"
    assert mask("secret-secret", patterns(["secret", "secret-secret"])) == "***"


def test_short_values_and_other_types_stay() -> None:
    assert mask(["a1 is short", 5, None], patterns(["a1"])) == ["a1 is short", 5, None]
