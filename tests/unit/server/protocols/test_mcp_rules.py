"""Which revision a message is in, and which errors it gets."""

import base64
import json
from typing import Any

import pytest

from easymlnb.contract.errors import (
    BY_CODE,
    Busy,
    CallerError,
    EasyMLNBError,
    Forbidden,
    InternalError,
    InvalidInput,
    NotLoggedIn,
    ServiceNotFound,
)
from easymlnb_server.protocols.handlers import is_same_origin
from easymlnb_server.protocols.mcp import errors, rules
from easymlnb_server.protocols.mcp.errors import RpcError
from easymlnb_server.protocols.mcp.models import CURRENT, HANDSHAKE, SUPPORTED, TASKS, RpcMessage

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


def message(method: str = "tools/list", **params: Any) -> RpcMessage:
    found = rules.decoded(
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    )
    assert isinstance(found, RpcMessage)
    return found


def modern(method: str = "tools/list", *, version: str = CURRENT, **params: Any) -> RpcMessage:
    return message(method, _meta={VERSION: version, CAPABILITIES: {}}, **params)


def headers(method: str = "tools/list", version: str = CURRENT, **more: str) -> dict[str, str]:
    return {"Mcp-Protocol-Version": version, "Mcp-Method": method, **more}


def refused(message: RpcMessage, headers: dict[str, str]) -> RpcError:
    with pytest.raises(RpcError) as caught:
        rules.revision(message, headers)
    return caught.value


def test_a_request_says_its_revision_itself() -> None:
    found = rules.revision(modern(), headers())
    assert (found.version, found.current, found.structured, found.tasks) == (
        CURRENT, True, True, False,
    )  # fmt: skip
    meta = {VERSION: CURRENT, CAPABILITIES: {"extensions": {TASKS: {}}}}
    assert rules.revision(message("tools/list", _meta=meta), headers()).tasks


@pytest.mark.parametrize("version", HANDSHAKE)
def test_revisions_with_a_handshake(version: str) -> None:
    assert rules.revision(message("initialize", protocolVersion=version), {}).version == version
    found = rules.revision(message(), {"Mcp-Protocol-Version": version})
    assert (found.version, found.current) == (version, False)
    assert found.structured is (version >= "2025-06-18")


def test_a_request_without_a_version_is_of_a_client_that_sends_none() -> None:
    assert rules.revision(message(), {}).version == "2025-03-26"
    for asked in ("2099-01-01", "", CURRENT):
        found = rules.revision(message("initialize", protocolVersion=asked), {})
        assert found.version == HANDSHAKE[0]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Mcp-Protocol-Version": "2025-11-25", "Mcp-Method": "tools/list"},
        {"Mcp-Protocol-Version": CURRENT},
        {"Mcp-Protocol-Version": CURRENT, "Mcp-Method": "tools/call"},
    ],
)
def test_headers_must_say_what_the_body_says(given: dict[str, str]) -> None:
    error = refused(modern(), given)
    assert (error.code, error.status) == (errors.HEADER_MISMATCH, 400)


def test_the_name_is_in_a_header_too() -> None:
    name = "wörter"
    encoded = f"=?base64?{base64.b64encode(name.encode()).decode()}?="
    call = modern("tools/call", name=name)
    assert rules.revision(call, headers("tools/call", **{"Mcp-Name": encoded})).current
    for wrong in ({}, {"Mcp-Name": "other"}, {"Mcp-Name": "=?base64?%%?="}):
        assert refused(call, headers("tools/call", **wrong)).code == errors.HEADER_MISMATCH
    task = modern("tasks/get", taskId="A")
    assert rules.revision(task, headers("tasks/get")).current
    wrong_task = headers("tasks/get", **{"Mcp-Name": "B"})
    assert refused(task, wrong_task).code == errors.HEADER_MISMATCH


def test_unknown_versions_get_the_list_of_those_that_are_spoken() -> None:
    for error in (
        refused(modern(version="1999-01-01"), headers(version="1999-01-01")),
        refused(message(), {"Mcp-Protocol-Version": "1999-01-01"}),
    ):
        assert (error.code, error.status) == (errors.UNSUPPORTED_VERSION, 400)
        assert error.data == {"supported": list(SUPPORTED), "requested": "1999-01-01"}
    error = refused(message("tools/list", _meta={VERSION: CURRENT}), headers())
    assert (error.code, error.status) == (errors.INVALID_PARAMS, 400)
    assert refused(message(), headers()).code == errors.HEADER_MISMATCH


@pytest.mark.parametrize(
    ("body", "code", "id"),
    [
        (b"{", errors.PARSE_ERROR, None),
        (b"\xff", errors.PARSE_ERROR, None),
        (b"[" * 5000, errors.INVALID_REQUEST, None),
        (b"3", errors.INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": 7, "method": 3}', errors.INVALID_REQUEST, 7),
        (b'{"id": "a", "method": "x", "params": []}', errors.INVALID_PARAMS, "a"),
        (b'{"id": 4, "method": "tools/call", "params": {"name": 5}}', errors.INVALID_PARAMS, 4),
        (b'{"jsonrpc": "2.0", "id": true, "method": "x"}', errors.INVALID_REQUEST, None),
    ],
)
def test_what_is_no_message(body: bytes, code: int, id: int | str | None) -> None:
    with pytest.raises(RpcError) as caught:
        rules.decoded(body)
    assert (caught.value.code, caught.value.id, caught.value.status) == (code, id, 400)


def test_origin_is_that_of_the_server() -> None:
    assert is_same_origin("http://Host:8888", "host:8888")
    for origin in ("http://host:8889", "null", "", "http://host:8888.evil.org", "http://[::1"):
        assert not is_same_origin(origin, "host:8888")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ServiceNotFound("x"), errors.INVALID_PARAMS),
        (Busy(3, 2.0), errors.UNAVAILABLE),
        (Forbidden("No."), errors.REFUSED),
        (NotLoggedIn(), errors.REFUSED),
        (InternalError(), errors.INTERNAL_ERROR),
    ],
)
def test_errors_of_the_protocol(error: EasyMLNBError, code: int) -> None:
    assert not errors.is_for_models(error)
    found = errors.from_error(error, "some-request").to_dict(3)
    assert found["id"] == 3
    assert found["error"]["code"] == code
    assert found["error"]["message"] == error.message
    assert found["error"]["data"]["code"] == error.code
    assert found["error"]["data"]["request_id"] == "some-request"


def test_errors_that_a_model_can_mend_are_results() -> None:
    assert BY_CODE.keys() >= errors.FOR_MODELS
    assert errors.is_for_models(CallerError("Take another."))
    assert errors.is_for_models(InvalidInput([{"field": "a", "message": "It is wrong."}]))
