"""``python -m easymlnb_server``: a Jupyter server with this extension, for serving."""

import asyncio
import contextlib

from easymlnb_server.app import main


def use_uvloop() -> None:
    """Run on uvloop where it is installed; it is not made for every platform."""
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop(uvloop.new_event_loop())


if __name__ == "__main__":
    use_uvloop()
    main()
