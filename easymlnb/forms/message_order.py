"""Keeps what a person does in the order in which they did it.

JupyterLab sends the messages of all widgets to one subshell, so they arrive one after the other
and do not wait for a cell. ipykernel 7.4 sends each of them on to the shell that last wrote to
its widget (so that a cell can await an answer): a field made by a cell is then served by the main
thread, a button that was painted since by the subshell. A click could so overtake the value typed
just before it, and the call would run with the old one. The widgets of a form await nothing.
"""

from typing import Any


def keep_message_order(widget: Any) -> None:
    """Let a widget and all it holds be served where the front end sent its messages to."""
    comm: Any = getattr(widget, "comm", None)
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None
    for child in getattr(widget, "children", ()):
        keep_message_order(child)
