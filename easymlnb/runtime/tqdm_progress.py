"""Report tqdm bars inside a call as its progress.

Every class of bars (terminal, notebook, auto) draws with ``display``, which is wrapped once per
class: inside a call it reports the progress, outside it draws.
"""

import functools
import importlib.util
import sys
from typing import Any

from easymlnb.runtime.context import CURRENT_CALL


def _text(bar: Any) -> str:
    count = f"{bar.n:g} of {bar.total:g} {bar.unit}"
    return f"{bar.desc}: {count}" if bar.desc else count


def _wrap(bars: Any) -> None:
    draw = bars.__dict__.get("display")
    if draw is None or hasattr(draw, "easymlnb"):
        return

    @functools.wraps(draw)
    def display(self: Any, *args: Any, **kwargs: Any) -> Any:
        context = CURRENT_CALL.get()
        if context is None:
            return draw(self, *args, **kwargs)
        if self.total:
            context.progress(min(1.0, self.n / self.total), _text(self))
        return None

    display.easymlnb = True  # type: ignore[attr-defined]
    bars.display = display


def report_bars() -> None:
    """Wrap the bars of tqdm if it is installed; calling it again changes nothing."""
    if "tqdm" not in sys.modules and importlib.util.find_spec("tqdm") is None:
        return
    from tqdm.std import tqdm

    _wrap(tqdm)
    notebook = sys.modules.get("tqdm.notebook")
    if notebook is not None:
        _wrap(notebook.tqdm_notebook)
