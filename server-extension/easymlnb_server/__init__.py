"""The server side of easymlnb: a Jupyter server extension."""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter where the extension is (called by name)."""
    from easymlnb_server.app import EasyMLNB

    return [{"module": "easymlnb_server", "app": EasyMLNB}]
