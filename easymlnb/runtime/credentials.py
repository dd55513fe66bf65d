"""The credentials that this process has received, and texts without them."""

import json
from collections.abc import Iterator, Mapping

from easymlnb.contract import masking

Values = Mapping[str, Mapping[str, str | None]]
"""Values by service and name; ``None`` for one that the server cannot decrypt."""


class ReceivedCredentials:
    """The credentials of this process. Thread-safe: each change replaces the whole mapping."""

    def __init__(self) -> None:
        self._values: Values = {}
        self._patterns: list[str] = []

    def replace(self, values: Values) -> None:
        """Use these credentials from now on; former values are still masked."""
        self._values = values
        self.add_masked(value for given in values.values() for value in given.values() if value)

    def add_masked(self, values: Iterator[str]) -> None:
        """Mask these values too."""
        self._patterns = sorted({*self._patterns, *masking.patterns([*values])}, key=len)[::-1]

    def of(self, service: str) -> Mapping[str, str | None]:
        """Return the credentials of a service."""
        return self._values.get(service, {})

    def having(self, name: str) -> dict[str, str | None]:
        """Return the values of a credential by the services that have it."""
        return {service: own[name] for service, own in self._values.items() if name in own}

    def mask(self, text: str) -> str:
        """Return a text for a log without values of credentials."""
        return str(masking.mask(text, self._patterns)) if self._patterns else text


CREDENTIALS = ReceivedCredentials()


def receive(text: str) -> None:
    """Take the credentials that the server sends before it runs the notebook's cells, as JSON."""
    CREDENTIALS.replace(json.loads(text))
