"""``python -m easymlnb_server``: a Jupyter server with this extension, for serving."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator


def use_uvloop() -> None:
    """Run on uvloop where it is installed; it is not made for every platform."""
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop(uvloop.new_event_loop())


@contextlib.contextmanager
def complete() -> Iterator[None]:
    """End with a sentence where the server's packages are missing."""
    try:
        yield
    except ImportError:
        from easymlnb_server import incomplete

        if not (sentence := incomplete.sentence()):
            raise
        sys.exit(f"easymlnb: {sentence}")


if __name__ == "__main__":
    use_uvloop()
    with complete():
        from easymlnb_server.app import main
    main()
