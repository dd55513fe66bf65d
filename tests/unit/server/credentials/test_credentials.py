"""Credentials: encrypted at rest, in memory for workers, never in a message of an error."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from easymlnb.contract.errors import (
    BadRequest,
    CredentialNotFound,
    CredentialsDisabled,
    NotReady,
    StorageUnusable,
)
from easymlnb.contract.worker_protocol import Credentials, Hello, unpack_to_worker
from easymlnb_server.credentials.encryption import VARIABLE, KeySource
from easymlnb_server.credentials.manager import CredentialStore
from easymlnb_server.dispatch.worker_link import WorkerLink
from easymlnb_server.store.store import Store

CANARY = "canary-7f3a9b"
KEYS = [Fernet.generate_key().decode() for _ in range(2)]


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@pytest.fixture
def store(tmp_path: Path, database_url: str) -> Any:
    opened = Store.open(database_url, tmp_path / "state")
    yield opened
    opened.close()


class Received:
    """The end of a link that records the credentials it is sent."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.link = WorkerLink(Hello(kernel="k", source=""), self._write)

    def _write(self, data: bytes) -> None:
        for message, _ in unpack_to_worker(data):
            assert isinstance(message, Credentials)
            self.values.append(message.values)


def test_a_change_reaches_the_workers_of_that_service_only(store: Store) -> None:
    async def work() -> None:
        credentials = CredentialStore(KeySource(text=KEYS[0]), shared=True)
        await credentials.open(store)
        ours, others = Received(), Received()
        credentials.for_owner("alice").deliver(ours.link, ["a"])
        credentials.for_owner("alice").deliver(others.link, ["b"])
        await credentials.set("alice/a", "DB", CANARY, owner="alice", by="alice")
        assert ours.values[-1] == {"a": {"DB": CANARY}}
        assert all(values == {} for values in others.values)
        await credentials.set("alice/a", "DB", "rotated", owner="alice", by="alice")
        assert ours.values[-1] == {"a": {"DB": "rotated"}}
        await credentials.remove("alice/a", "DB")
        assert ours.values[-1] == {}
        with pytest.raises(CredentialNotFound):
            await credentials.remove("alice/a", "DB")

    run(work())


def test_values_are_encrypted_and_survive_a_change_of_the_key(store: Store) -> None:
    async def work() -> None:
        credentials = CredentialStore(KeySource(text=KEYS[0]))
        await credentials.open(store)
        await credentials.set("a", "DB", CANARY, owner="", by="me")
        before = store.credentials.all()[0]
        assert CANARY not in before.token
        both = CredentialStore(KeySource(text=",".join(reversed(KEYS))))
        await both.open(store)
        assert store.credentials.all()[0].token != before.token
        new = CredentialStore(KeySource(text=KEYS[1]))
        await new.open(store)
        assert new.of("", ["a"]) == {"a": {"DB": CANARY}}
        wrong = CredentialStore(KeySource(text=KEYS[0]))
        await wrong.open(store)
        assert wrong.of("", ["a"]) == {"a": {"DB": None}}
        assert not wrong.summary("a", "DB").readable
        with pytest.raises(CredentialNotFound, match="cannot decrypt"):
            wrong.find("DB")

    run(work())


def test_a_former_owners_credential_is_not_given_to_another(store: Store) -> None:
    async def work() -> None:
        credentials = CredentialStore(KeySource(text=KEYS[0]), shared=True)
        await credentials.open(store)
        await credentials.set("lab/a", "DB", CANARY, owner="lab", by="lab")
        assert credentials.of("group:lab", ["a"]) == {}

    run(work())


def test_authors_kernels_find_the_value_that_is_meant(store: Store) -> None:
    async def work() -> None:
        credentials = CredentialStore(KeySource(text=KEYS[0]))
        await credentials.open(store)
        with pytest.raises(CredentialNotFound, match="easymlnb credentials set a DB"):
            credentials.find("DB", calling="a")
        await credentials.set("a", "DB", "one", owner="", by="me")
        assert credentials.find("DB") == "one"
        await credentials.set("b", "DB", "two", owner="", by="me")
        assert credentials.find("DB", calling="b") == "two"
        assert credentials.find("DB", service="a", calling="b") == "one"
        with pytest.raises(CredentialNotFound, match=r"different values for a, b"):
            credentials.find("DB")

    run(work())


def test_without_a_key_or_a_database_nothing_is_set(store: Store) -> None:
    async def work() -> None:
        credentials = CredentialStore(KeySource())
        with pytest.raises(NotReady):
            await credentials.set("a", "DB", CANARY, owner="", by="me")
        await credentials.open(store)
        with pytest.raises(CredentialsDisabled, match="credentials_key_file"):
            await credentials.set("a", "DB", CANARY, owner="", by="me")
        for name, value in (("1", "x"), ("D B", "x"), ("DB", ""), ("DB", "x" * 65_537)):
            with pytest.raises(BadRequest):
                await credentials.set("a", name, value, owner="", by="me")
        assert store.credentials.all() == []

    run(work())


def test_keys_come_from_a_file_the_environment_or_are_made(tmp_path: Path) -> None:
    environment = {VARIABLE: KEYS[0]}
    own = tmp_path / "state" / "credentials.key"
    taken = KeySource.take("", environment, own)
    assert environment == {} and taken.load() is not None and not own.exists()
    made = KeySource(own=own)
    assert made.load() is None
    cipher = made.load(create=True)
    assert cipher is not None and own.stat().st_mode & 0o777 == 0o600
    again = made.load()
    assert again is not None and again.decrypt(cipher.encrypt(CANARY)) == CANARY
    file = tmp_path / "keys"
    with pytest.raises(StorageUnusable, match="cannot be read"):
        KeySource(str(file)).load()
    file.write_text("# new\n\n")
    with pytest.raises(StorageUnusable, match="contains no key"):
        KeySource(str(file)).load()
    file.write_text(f"{KEYS[1]}\n{CANARY}\n")
    with pytest.raises(StorageUnusable, match="Key 2 is invalid") as error:
        KeySource(str(file)).load()
    assert CANARY not in str(error.value)
