"""The server side of easymlnb: a Jupyter server extension."""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter where the extension is (called by name)."""
    try:
        from easymlnb_server.app import EasyMLNB
    except ImportError:
        from easymlnb_server import incomplete

        if not incomplete.sentence():
            raise
        return [{"module": incomplete.__name__}]
    return [{"module": "easymlnb_server", "app": EasyMLNB}]
