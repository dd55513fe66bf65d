"""Log records with named fields, as text for people or as one JSON object per line for machines.

Only the fields listed here are ever written: no inputs, no results, no credentials.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

FIELDS = (
    *("request_id", "caller", "method", "path"),
    *("service", "version", "status", "seconds", "code"),
)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the named fields of a record that has any."""
    return {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time, level, logger, event, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """One line like Jupyter's own, the fields behind the message."""

    def __init__(self) -> None:
        super().__init__("[%(levelname).1s %(asctime)s.%(msecs)03d %(name)s] %(message)s")
        self.datefmt = "%Y-%m-%d %H:%M:%S"

    def formatMessage(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {name}={value}" for name, value in fields(record).items())
        return super().formatMessage(record) + pairs


FORMATTERS = {"text": TextFormatter, "json": JsonFormatter}


def configure(form: str, level: int | str) -> logging.Handler:
    """Log to standard error; return the handler, so that the caller can remove it."""
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATTERS[form]())
    logger = logging.getLogger("easymlnb")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    # nbclient would log the code and the output of every cell.
    logging.getLogger("easymlnb.execution").setLevel(logging.ERROR)
    return handler
