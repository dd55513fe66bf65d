"""Builds the store of credentials of published code."""

import os
from pathlib import Path

from easymlnb_server.credentials.encryption import KeySource
from easymlnb_server.credentials.manager import CredentialStore
from easymlnb_server.credentials.mounted import read_mounted
from easymlnb_server.settings import Settings

KEY_FILE = "credentials.key"
"""File, in the state folder of a personal server, with the key that encrypts credentials."""


def credential_parts(settings: Settings, folder: Path) -> tuple[KeySource, CredentialStore]:
    """Return where the keys are, and the credentials of all services."""
    own = None if settings.shared else folder / KEY_FILE
    keys = KeySource.take(settings.credentials_key_file, os.environ, own)
    mounted = read_mounted(settings.credentials_folder)
    return keys, CredentialStore(keys, shared=settings.shared, mounted=mounted)
