"""What the headers of a call may ask for."""

import pytest
from tornado.httputil import HTTPHeaders

from easymlnb.contract.errors import BadRequest
from easymlnb_server.calls import options


@pytest.mark.parametrize(("sent", "found"), [
    (None, 30.0), ("2.5", 2.5), ("99", 30.0), ("0.001", 0.001), ("1e+06", 30.0), ("2.", 2.0),
])  # fmt: skip
def test_seconds(sent: str | None, found: float) -> None:
    assert options.timeout(HTTPHeaders({"X-Timeout": sent} if sent else {}), 30.0) == found


@pytest.mark.parametrize("sent", [
    "", "0", "-1", "nan", "inf", "soon", "1e-9", "0.0009", "1e999", "+2", "1_0", "0x10", " 2", "2s",
    "2,2", "2 3", ".5", "\u0662", "1e", "e1", "1e-400", "--2",
])  # fmt: skip
def test_bad_seconds(sent: str) -> None:
    with pytest.raises(BadRequest, match="X-Timeout"):
        options.timeout(HTTPHeaders({"X-Timeout": sent}), 30.0)


@pytest.mark.parametrize(
    ("sent", "found"), [(None, False), ("interactive", False), ("batch", True)]
)
def test_priority(sent: str | None, found: bool) -> None:
    assert options.is_low_priority(HTTPHeaders({"X-Priority": sent} if sent else {})) is found


def test_bad_priority() -> None:
    with pytest.raises(BadRequest, match="interactive, batch"):
        options.is_low_priority(HTTPHeaders({"X-Priority": "high"}))


def test_key() -> None:
    assert options.idempotency_key(HTTPHeaders()) == ""
    assert options.idempotency_key(HTTPHeaders({"Idempotency-Key": "a key"})) == "a key"


@pytest.mark.parametrize("sent", ["", "x" * 201, "caf\xe9"])
def test_bad_key(sent: str) -> None:
    with pytest.raises(BadRequest):
        options.idempotency_key(HTTPHeaders({"Idempotency-Key": sent}))
