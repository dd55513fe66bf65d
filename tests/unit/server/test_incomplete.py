"""The extension in an environment without the server's packages."""

import logging
import sys
from types import SimpleNamespace

import pytest

import easymlnb_server
from easymlnb.contract import installation
from easymlnb_server import incomplete
from easymlnb_server.__main__ import complete


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        installation, "unmet_requirements", lambda extra: iter([("sqlalchemy>=2", "")])
    )
    monkeypatch.setitem(sys.modules, "easymlnb_server.app", None)


@pytest.mark.usefixtures("lacking")
def test_the_extension_says_what_to_install(caplog: pytest.LogCaptureFixture) -> None:
    assert easymlnb_server._jupyter_server_extension_points() == [{"module": incomplete.__name__}]
    with caplog.at_level(logging.ERROR):
        incomplete._load_jupyter_server_extension(SimpleNamespace(log=logging.getLogger("test")))
    (record,) = caplog.records
    assert "(sqlalchemy>=2 missing): pip install 'easymlnb[server]'" in record.getMessage()


@pytest.mark.usefixtures("lacking")
def test_serving_ends_with_what_to_install() -> None:
    with (
        pytest.raises(SystemExit, match=r"easymlnb: .* pip install 'easymlnb\[server\]'\."),
        complete(),
    ):
        import easymlnb_server.app  # noqa: F401


def test_other_import_errors_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "unmet_requirements", lambda extra: iter(()))
    monkeypatch.setitem(sys.modules, "easymlnb_server.app", None)
    with pytest.raises(ImportError):
        easymlnb_server._jupyter_server_extension_points()
    with pytest.raises(ImportError), complete():
        raise ImportError("another")
