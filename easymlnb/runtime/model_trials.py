"""Try a new version of a model with the examples of the services that use it."""

from collections.abc import Collection, Mapping
from contextlib import nullcontext

import msgspec

from easymlnb.contract.worker_protocol import Call, Failure, Message
from easymlnb.runtime.batch_execution import run_batch
from easymlnb.services.definition import Service

NO_CALL = -1
"""In place of a call's number, for work between two calls."""


def try_examples(services: Mapping[str, Service], names: Collection[str]) -> str:
    """Run the examples of these services; return what is wrong, or ``""``."""
    for service in [services[name] for name in sorted(names) if name in services]:
        for number, example in enumerate(service.spec.examples):
            call = Call(id=NO_CALL, service=service.name, seconds=service.spec.timeout)
            body = msgspec.json.encode(example)
            ((end, _),) = run_batch(service, [(call, body)], _drop, lambda calls: nullcontext())
            if isinstance(end, Failure):
                return f"Example {number + 1} of {service.name!r} failed: {end.message}"
    return ""


def _drop(message: Message, body: bytes) -> None:
    """Send nothing."""
