"""The locked environment of a bundle: exact packages, in place of those of a kernel."""

import hashlib
import json
import re
from typing import Final

import msgspec

from easymlnb.contract.errors import BundleRejected, DefinitionError

KERNEL: Final = "kernel"
LOCKED: Final = "locked"
CHOICES = (KERNEL, LOCKED)
"""Where workers get their packages: from the kernel as it is, or from a lock."""

REQUIREMENTS = "requirements.txt"
"""The lock file: each package with its version and the SHA-256 of its files."""

REQUIRE_ENV = "EASYMLNB_REQUIRE_LOCKED"
INDEX_ENV = "EASYMLNB_INDEX_URL"
WHEELHOUSE_ENV = "EASYMLNB_WHEELHOUSE"
"""Variables with which a server passes its settings for locks to the kernels that it starts."""

_PYTHON = re.compile(r"3\.[0-9]{1,3}\Z")
_WHEEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,200}\.whl\Z")


class EnvironmentLock(msgspec.Struct, frozen=True, kw_only=True):
    """A locked environment.

    - ``python``: version of Python, such as ``3.11``
    - ``files``: the SHA-256 of the lock file, and of the wheels that no index has, by name
    """

    python: str
    files: dict[str, str] = {}

    @property
    def id(self) -> str:
        """The hash under which the environment is built once: 64 hex digits."""
        content = json.dumps([self.python, self.files], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(content.encode("ascii")).hexdigest()

    def check(self) -> None:
        """Raise ``BundleRejected`` for invalid names."""
        if not _PYTHON.match(self.python):
            raise BundleRejected(
                f"The bundle's lock has the invalid Python version {self.python[:20]!r}. Use a "
                "version such as '3.11'."
            )
        if REQUIREMENTS not in self.files:
            raise BundleRejected(f"The bundle's lock has no {REQUIREMENTS}.")
        for name in self.files:
            if name != REQUIREMENTS and not _WHEEL.match(name):
                raise BundleRejected(f"The bundle's lock has a file {name[:80]!r}, not a wheel.")


def check_choice(environment: str) -> str:
    """Return ``environment`` if it is one of ``CHOICES``; raises ``DefinitionError``."""
    if environment not in CHOICES:
        raise DefinitionError(f"environment must be 'kernel' or 'locked', not {environment!r:.80}.")
    return environment


def pins(text: str) -> dict[str, str]:
    """Return the version of each package in a lock file."""
    found = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)", text, re.MULTILINE)
    return dict(found)
