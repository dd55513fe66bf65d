"""Encrypt credentials with keys from a file or the environment.

The first key encrypts; all of them decrypt. A new key is put before the old one, which can be
removed after the next start: the server then encrypts everything with the first key again.
"""

import os
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from easymlnb.contract.errors import CredentialsDisabled, StorageUnusable

VARIABLE = "EASYMLNB_CREDENTIALS_KEY"
"""Environment variable with keys, separated by spaces or commas."""

MAKE_KEY = (
    'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
)

NO_KEY = CredentialsDisabled(
    "This server has no key to encrypt credentials with. Its administrator sets "
    "EasyMLNB.credentials_key_file to a file with a key, which this command prints: " + MAKE_KEY
)


class Cipher:
    """Encrypts with the first key, and decrypts with any."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Raise ``ValueError`` for an invalid key; the message does not contain it."""
        fernets = []
        for number, key in enumerate(keys, 1):
            try:
                fernets.append(Fernet(key))
            except ValueError:
                raise ValueError(
                    f"Key {number} is invalid: a key has 32 bytes as URL-safe base64. This "
                    f"command prints one: {MAKE_KEY}"
                ) from None
        self._first = fernets[0]
        self._all = MultiFernet(fernets)

    def encrypt(self, value: str) -> str:
        return self._first.encrypt(value.encode()).decode()

    def decrypt(self, token: str) -> str | None:
        """Return the value; ``None`` if no key fits, or the token is damaged."""
        try:
            return self._all.decrypt(token).decode()
        except (InvalidToken, ValueError):
            return None

    def rotate(self, token: str) -> str | None:
        """Return a token of the first key; ``None`` if it is one, or cannot be decrypted."""
        try:
            self._first.decrypt(token)
        except InvalidToken:
            value = self.decrypt(token)
            return None if value is None else self.encrypt(value)
        return None


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the keys are.

    file: the configured file; empty for none.
    text: keys from the environment.
    own: a file that is created when it is needed; ``None`` on a shared service, whose
        administrator has to choose a place.
    """

    file: str = ""
    text: str = ""
    own: Path | None = None

    @classmethod
    def take(
        cls, file: str, environment: MutableMapping[str, str], own: Path | None
    ) -> "KeySource":
        """Take the key out of the environment, which kernels and terminals inherit."""
        return cls(file, environment.pop(VARIABLE, ""), own)

    def load(self, *, create: bool = False) -> Cipher | None:
        """Return the cipher; ``None`` without a key. Blocks.

        ``create`` makes the server's own file if there is no key. Raises ``StorageUnusable``.
        """
        keys = [*self._read(), *self.text.replace(",", " ").split()]
        if not keys and self.own is not None:
            keys = self._read_own(create)
        try:
            return Cipher(keys) if keys else None
        except ValueError as error:
            raise StorageUnusable(f"The key for credentials cannot be used. {error}") from error

    def _read(self) -> list[str]:
        if not self.file:
            return []
        try:
            keys = _keys(Path(self.file).read_text("ascii", errors="replace"))
        except OSError as error:
            raise StorageUnusable(
                f"The file EasyMLNB.credentials_key_file ({self.file}) cannot be read "
                f"({error.strerror}). Make it readable for the server's account only."
            ) from error
        if not keys:
            raise StorageUnusable(
                f"The file EasyMLNB.credentials_key_file ({self.file}) contains no key. This "
                f"command prints one: {MAKE_KEY}"
            )
        return keys

    def _read_own(self, create: bool) -> list[str]:
        assert self.own is not None
        try:
            return _keys(self.own.read_text("ascii", errors="replace"))
        except FileNotFoundError:
            if not create:
                return []
        key = Fernet.generate_key()
        self.own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self.own.with_name(f"{self.own.name}.new")
        with open(unfinished, "wb", opener=_open_private) as file:
            file.write(key + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, self.own)
        return [key.decode()]


def _keys(text: str) -> list[str]:
    """Return the keys of a file: one a line; lines that begin with # are comments."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
