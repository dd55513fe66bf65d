"""The placements of a Hub's shared service, offered to users' own servers."""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx

from easymlnb.contract.hub_config import SERVICE
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.profiles import PlacementProfile, parse_profiles

TIMEOUT = 3.0
"""Seconds for the service's answer; a server that starts waits for it."""

MAX_AGE = 30.0
"""Seconds after which the service is asked again."""

log = logging.getLogger("easymlnb.placements")


class SharedProfiles:
    """The placements of a user's own server: its ``own``, then those of the shared service.

    ``base_url`` is the Hub's.
    """

    def __init__(
        self, credentials: HubCredentials, base_url: str, own: Mapping[str, PlacementProfile]
    ) -> None:
        self._credentials = credentials
        self._url = f"{credentials.proxy}{base_url.rstrip('/')}/services/{SERVICE}/placements"
        self._own = dict(own)
        self._shared: dict[str, PlacementProfile] = {}
        self._asked_at: float | None = None
        self._lock = threading.Lock()

    @property
    def last(self) -> dict[str, PlacementProfile]:
        """The placements of the last request, with ``local`` if the service runs it on a node."""
        return {**self._shared, **self._own}

    def get(self) -> dict[str, PlacementProfile]:
        """Return the placements; blocks. Without an answer the previous ones stay."""
        credentials = self._credentials
        if not (credentials.user and credentials.token and credentials.proxy):
            return self.last
        with self._lock:
            if self._asked_at is None or time.monotonic() - self._asked_at > MAX_AGE:
                shared = self._request()
                self._shared = self._shared if shared is None else shared
                self._asked_at = time.monotonic()
        return self.last

    def _request(self) -> dict[str, PlacementProfile] | None:
        """Return the service's placements; ``None`` without a valid answer."""
        try:
            response = httpx.get(
                self._url,
                params={"nodes": "false"},
                headers=self._credentials.headers,
                timeout=TIMEOUT,
            )
            if response.status_code != 200:
                return None
            placements = response.json()["placements"]
            mine = [entry for entry in placements if entry["user"] == self._credentials.user]
            return parse_profiles({str(entry["name"]): _known(entry["profile"]) for entry in mine})
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            log.info("Could not read the shared service's placements: %s", error)
            return None


def _known(settings: Mapping[str, Any]) -> dict[str, Any]:
    # A service of another version may send more.
    names = PlacementProfile.__struct_fields__
    return {name: settings[name] for name in names if name in settings}
