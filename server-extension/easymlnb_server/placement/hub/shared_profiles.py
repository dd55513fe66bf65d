"""The placements of a Hub's shared service, offered to users' own servers."""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from easymlnb.contract.hub_config import SERVICE
from easymlnb_server.placement.hub import profiles
from easymlnb_server.placement.hub.credentials import HubCredentials
from easymlnb_server.placement.hub.profiles import PlacementProfile

SECONDS = 3.0
"""How long the service may take; a server that starts waits for it."""

FRESH = 30.0
"""Seconds for which an answer is good."""

log = logging.getLogger("easymlnb.placements")


class CommonSpots:
    """Asks the shared service which placements there are, in the name of a user's own server.

    ``base_url`` is the Hub's. ``own`` are placements that this server names itself; they count
    before those of the service.
    """

    def __init__(
        self, account: HubCredentials, base_url: str, own: Mapping[str, PlacementProfile]
    ) -> None:
        self._account = account
        self._url = f"{account.proxy}{base_url.rstrip('/')}/services/{SERVICE}/placements"
        self._own = dict(own)
        self._found: dict[str, PlacementProfile] = {}
        self._asked: float | None = None
        self._turn = threading.Lock()

    @property
    def last(self) -> dict[str, PlacementProfile]:
        """The placements as they were found last, ``local`` among them where it is a node."""
        return {**self._found, **self._own}

    def get(self) -> dict[str, PlacementProfile]:
        """Return the placements; it blocks. Those of a service that is away stay as they were."""
        account = self._account
        if not (account.user and account.token and account.proxy):
            return self.last
        with self._turn:
            if self._asked is None or time.monotonic() - self._asked > FRESH:
                found = self._ask()
                self._found = self._found if found is None else found
                self._asked = time.monotonic()
        return self.last

    def _ask(self) -> dict[str, PlacementProfile] | None:
        """Return what the service says; ``None`` if it says nothing, or is not there."""
        try:
            answer = httpx.get(
                self._url,
                params={"nodes": "false"},
                headers=self._account.headers,
                timeout=SECONDS,
            )
            if answer.status_code != 200:
                return None
            told = answer.json()["placements"]
            mine = [one for one in told if one["user"] == self._account.user]
            return {str(one["name"]): _spot(one["name"], one["spot"]) for one in mine}
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            log.info("Could not read the shared service's placements: %s", error)
            return None


def _spot(name: str, told: Mapping[str, Any]) -> PlacementProfile:
    # A service of another version may know more.
    known = {field.name for field in msgspec.structs.fields(PlacementProfile)}
    given = {key: value for key, value in told.items() if key in known}
    return profiles.read({name: given})[name]
