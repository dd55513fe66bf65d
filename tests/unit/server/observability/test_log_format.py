"""Log lines carry named fields and nothing else."""

import json
import logging

import pytest

from easymlnb_server.observability.log_format import FORMATTERS, JsonFormatter, TextFormatter


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "easymlnb.calls", "levelname": "INFO", "msg": "call"})
    made.__dict__.update(extra)
    return made


def test_json_has_the_fields() -> None:
    said = json.loads(JsonFormatter().format(record(service="roll", status=200, body="secret")))
    assert (said["event"], said["service"], said["status"]) == ("call", "roll", 200)
    assert "secret" not in str(said)


def test_text_has_the_fields_behind_the_message() -> None:
    assert (
        TextFormatter().format(record(service="roll")).endswith("easymlnb.calls] call service=roll")
    )


@pytest.mark.parametrize("form", FORMATTERS)
def test_a_traceback_is_logged(form: str) -> None:
    try:
        raise ValueError("here")
    except ValueError as error:
        made = record(exc_info=(ValueError, error, error.__traceback__))
    assert "ValueError: here" in FORMATTERS[form]().format(made)
