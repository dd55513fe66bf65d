"""Secrets of workers that were started: good for one arrival each."""

from easymlnb_server.workers.registration import RegisteredWorker, WorkerRegistration, secret_hash
from support.fakes import FakeLink, spec


async def test_secret_brings_its_worker() -> None:
    rendezvous = WorkerRegistration()
    secret, arrival = rendezvous.expect()
    future = rendezvous.claim(secret)
    assert future is arrival
    future.set_result(RegisteredWorker(FakeLink(), (spec(),)))
    assert arrival.result().specs[0].name == "f"


async def test_secret_is_good_once() -> None:
    rendezvous = WorkerRegistration()
    secret, _ = rendezvous.expect()
    assert rendezvous.claim(secret) is not None
    assert rendezvous.claim(secret) is None


async def test_wrong_secrets_bring_nobody() -> None:
    rendezvous = WorkerRegistration()
    secret, arrival = rendezvous.expect()
    for wrong in ("", secret[:-1], secret + "x", secret.swapcase(), "ä€", "\0"):
        assert rendezvous.claim(wrong) is None
    assert not arrival.done()


async def test_secrets_are_long_and_different() -> None:
    rendezvous = WorkerRegistration()
    secrets = {rendezvous.expect()[0] for _ in range(100)}
    assert len(secrets) == 100
    assert min(map(len, secrets)) >= 43  # 256 bits


async def test_forgotten_worker_is_not_let_in() -> None:
    rendezvous = WorkerRegistration()
    secret, arrival = rendezvous.expect()
    rendezvous.forget(secret_hash(secret))
    rendezvous.forget(secret_hash(secret))
    assert arrival.cancelled()
    assert rendezvous.claim(secret) is None


async def test_each_secret_brings_its_own_worker() -> None:
    rendezvous = WorkerRegistration()
    expected = [rendezvous.expect() for _ in range(3)]
    for secret, arrival in reversed(expected):
        assert rendezvous.claim(secret) is arrival
