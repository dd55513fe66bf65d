"""What services get from their notebook: settings of its cells, their loop, displays."""

import sys
import threading
from typing import Any

from easymlnb.runtime import event_loop, settings
from easymlnb.runtime.context import CURRENT_CALL


def follow() -> None:
    """Record settings and loop at each cell of this notebook; calling it again changes nothing.

    Does nothing without a notebook, or in another thread.
    """
    shell = _shell()
    if shell is None or threading.current_thread() is not threading.main_thread():
        return
    _record()
    shell.events.register("pre_run_cell", _record)
    shell.events.register("post_run_cell", _record)
    _log_displays(shell.display_pub)


def _shell() -> Any:
    found = sys.modules.get("IPython")
    return found.get_ipython() if found is not None else None


def _record(*event: Any) -> None:
    event_loop.note_cells()
    settings.remember()


def _log_displays(publisher: Any) -> None:
    """Write what calls display into their logs as text, not under the author's cell."""
    publish, clear = publisher.publish, publisher.clear_output
    if hasattr(publish, "easymlnb"):
        return

    def publish_outside(data: Any, *args: Any, **kwargs: Any) -> Any:
        context = CURRENT_CALL.get()
        if context is None:
            return publish(data, *args, **kwargs)
        if isinstance(data, dict) and "text/plain" in data:
            context.log.write(f"{data['text/plain']}\n")
        return None

    def clear_outside(*args: Any, **kwargs: Any) -> Any:
        return clear(*args, **kwargs) if CURRENT_CALL.get() is None else None

    publish_outside.easymlnb = True  # type: ignore[attr-defined]
    publisher.publish, publisher.clear_output = publish_outside, clear_outside
