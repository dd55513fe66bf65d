"""Fixtures for tests of the server's parts."""

import pytest

from easymlnb_server.engine import breaker, deployment, pool, presence, pulse, starting


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a deployment of fake kernels do in moments what takes seconds."""
    monkeypatch.setattr(deployment, "TICK", 0.01)
    monkeypatch.setattr(pool, "GRACE", 0.02)
    monkeypatch.setattr(presence, "ALIVE_EVERY", 0.01)
    monkeypatch.setattr(pulse, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(breaker, "backoff", lambda failures: 0.01 * failures)
    monkeypatch.setattr(
        starting, "execute", lambda notebook, manager, *rest: manager.placement.execute(
            notebook, manager, *rest
        )
    )  # fmt: skip
    monkeypatch.setattr(starting, "serve", lambda client: client.dial())
