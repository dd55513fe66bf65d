"""Capture an author's other widgets for an app page, with all that they contain, as data.

The page draws them from their state, in a frame without access to the page. Code of the notebook
that reacts to them does not run there, so widgets with such code are refused.
"""

from base64 import b64encode
from typing import Any

import ipywidgets as W
import msgspec
from ipywidgets.widgets import widget as library
from traitlets.traitlets import ObserveHandler

from easymlnb.contract.errors import DefinitionError

MAX_BYTES = 2_000_000
"""Bytes of the state of one part of a page, as JSON."""

CORE = ("@jupyter-widgets/base", "@jupyter-widgets/controls", "@jupyter-widgets/output")
"""Modules of ipywidgets itself."""

SHOWN = (W.Image, W.Audio, W.Video, W.IntProgress, W.FloatProgress, W.Valid)
"""Widgets of ipywidgets that show something without the notebook's code."""

SIZES = ("height", "min_height")


def is_foreign(widget: Any) -> bool:
    """Return whether a widget belongs to another package, or only shows something."""
    return widget._model_module not in CORE or isinstance(widget, SHOWN)


def has_foreign(widget: Any) -> bool:
    """Return whether a widget, or a widget in its boxes, is foreign."""
    return is_foreign(widget) or any(map(has_foreign, getattr(widget, "children", ())))


def capture(widget: Any) -> dict[str, Any]:
    """Return the state of a widget and of all that it refers to. Raises ``DefinitionError``."""
    from ipywidgets.embed import dependency_state

    states: dict[str, Any] = dependency_state([widget], drop_defaults=False)
    for id in states:
        _require_data(library._instances.get(id))
    made = {"root": widget.model_id, **_plain(states)}
    try:
        size = len(msgspec.json.encode(made))
    except (TypeError, ValueError) as error:
        raise DefinitionError(
            f"{type(widget).__name__} cannot be shown on a page: its state has a value that is not "
            f"JSON ({error})."
        ) from error
    if size > MAX_BYTES:
        raise DefinitionError(
            f"{type(widget).__name__} has {size:,} bytes of state. A page can show widgets of at "
            f"most {MAX_BYTES:,} bytes: reduce its data."
        )
    # JSON has no NaN, and pages of a bundle have no tuples.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))
    if height := _height(widget):
        plain["height"] = height
    return plain


def _plain(states: dict[str, Any]) -> dict[str, Any]:
    """Return states without their bytes, and where which bytes belong, as pages receive them."""
    found: dict[str, Any] = {}
    paths, buffers = [], []
    for id, one in states.items():
        found[id] = {
            name: one[name] for name in ("model_name", "model_module", "model_module_version")
        } | {"state": one["state"]}
        for buffer in one.get("buffers", ()):
            paths.append([id, *buffer["path"]])
            buffers.append(_base64(buffer))
    return {"states": found, "buffer_paths": paths, "buffers": buffers}


def _base64(buffer: dict[str, Any]) -> str:
    if buffer["encoding"] == "hex":
        return b64encode(bytes.fromhex(buffer["data"])).decode()
    return str(buffer["data"])


def _height(widget: Any) -> str:
    layout = getattr(widget, "layout", None)
    return next((value for name in SIZES if (value := getattr(layout, name, None))), "")


def _require_data(widget: Any) -> None:
    """Raise ``DefinitionError`` for a widget that calls the notebook, or loads from elsewhere."""
    if widget is None:
        return
    name = type(widget).__name__
    for what, handler in _handlers(widget):
        if getattr(handler, "__module__", "") == "__main__":
            raise DefinitionError(
                f"{name} calls {getattr(handler, '__name__', 'a function')!r} of the notebook "
                f"({what}), which does not run behind a page. Connect widgets with ipywidgets' "
                "jslink, or make it a parameter of the service."
            )
    script = getattr(widget, "_esm", "")
    if isinstance(script, str) and script.startswith(("http://", "https://")):
        raise DefinitionError(
            f"{name} loads its script from {script[:80]}. Pages load nothing from elsewhere: put "
            "the script into the notebook, or into a file that _esm names."
        )


def _handlers(widget: Any) -> list[tuple[str, Any]]:
    """Return what a widget calls: observers of its traits, and callbacks of its messages."""
    found = [
        (f"observe {trait}", handler)
        for trait, kinds in getattr(widget, "_trait_notifiers", {}).items()
        for handlers in kinds.values()
        for handler in handlers
        if not isinstance(handler, ObserveHandler)
    ]
    for value in vars(widget).values():
        if isinstance(value, W.CallbackDispatcher):
            found += [("a callback", handler) for handler in value.callbacks]
    return found
