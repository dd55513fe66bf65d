"""Widgets as HTML, as the browser will draw them: what a page shows until its controls are live.

Elements, classes and their order are those of ipywidgets' front end, so that the same style sheet
applies and nothing moves when the live controls take their place. ``data-model`` names the widget,
by which the page finds the live control for what was typed or pressed before.
"""

import math
from collections.abc import Callable
from typing import Any

from easymlnb.apps.painted_files import file_drop
from easymlnb.forms.file_upload import FileUpload
from easymlnb.forms.markup import Markup, element
from easymlnb.forms.tables import Grid
from easymlnb.forms.widget_frame import WidgetFrame

INLINE = "jupyter-widgets widget-inline-hbox"
HIDDEN = "display: none"

Painter = Callable[[Any], Markup]


def paint(widget: Any) -> Markup:
    """Return a widget, and what it contains, as HTML."""
    if isinstance(widget, FileUpload):
        classes = f"jupyter-widgets em-file em-file-{widget.kind}"
        return _outer(widget, classes, file_drop(widget))
    if isinstance(widget, WidgetFrame):
        return _outer(widget, "jupyter-widgets em-widget-frame")
    if isinstance(widget, Grid):
        return _outer(widget, "jupyter-widgets em-grid")
    painter = PAINTERS.get(str(widget._view_name))
    return painter(widget) if painter is not None else Markup()


def _outer(widget: Any, classes: str, *inner: object, tag: str = "div", **more: Any) -> Markup:
    """Return a widget's element."""
    names = " ".join(("lm-Widget", classes, *widget._dom_classes))
    style = "; ".join(filter(None, (_layout(widget), more.pop("style", ""))))
    attributes = {"class": names, "data_model": widget.model_id, "style": style or None, **more}
    return element(tag, *inner, **attributes)


def _layout(widget: Any) -> str:
    context = getattr(widget, "_context", None)
    if widget.layout is None or (context is not None and widget.layout is context.layout):
        return ""  # the layout that all widgets of a form share sets nothing
    values = widget.layout.get_state()
    return "; ".join(
        f"{name.replace('_', '-')}: {value}"
        for name, value in values.items()
        if value is not None and not name.startswith("_")
    )


def _label(widget: Any) -> Markup:
    """Return a widget's label; it is tied to the control of the same widget."""
    text = widget.description
    style = None if text else HIDDEN
    return element("label.widget-label", text, style=style, **{"for": _id(widget)})


def _id(widget: Any) -> str:
    return f"painted-{widget.model_id}"


def _box(classes: str) -> Painter:
    def paint_box(widget: Any) -> Markup:
        style = f"jupyter-widgets widget-container widget-box {classes} lm-Panel"
        return _outer(widget, style, *map(paint, widget.children))

    return paint_box


def _stack(widget: Any) -> Markup:
    at = widget.selected_index
    shown = [] if at is None else [paint(widget.children[at])]
    return _outer(widget, "jupyter-widgets widget-container widget-box lm-Panel", *shown)


def _accordion(widget: Any) -> Markup:
    parts = []
    for at, child in enumerate(widget.children):
        opened = at == widget.selected_index
        head = element("div.lm-Widget.jupyter-widget-Collapse-header", widget.titles[at])
        hidden = None if opened else HIDDEN
        body = element("div.lm-Widget.jupyter-widget-Collapse-contents", paint(child), style=hidden)
        opening = ".jupyter-widget-Collapse-open" if opened else ""
        parts.append(element(f"div.lm-Widget.jupyter-widget-Collapse{opening}", head, body))
    return _outer(widget, "jupyter-widgets widget-accordion widget-container", *parts)


def _html(widget: Any) -> Markup:
    # A widget of ours contains only escaped or cleaned text.
    inner = element("div.widget-html-content", Markup(widget.value))
    return _outer(widget, f"{INLINE} widget-html", _label(widget), inner)


def _input(widget: Any, kind: str, value: object, **more: Any) -> Markup:
    attributes = {
        "id": _id(widget),
        "type": kind,
        "value": value,
        "disabled": getattr(widget, "disabled", False),
        # Browsers would fill in what was there before a reload; the form itself does that.
        "autocomplete": "off",
        **more,
    }
    return element("input", **attributes)


def _typed(kind: str) -> Painter:
    def paint_text(widget: Any) -> Markup:
        field = _input(
            widget, kind, widget.value, placeholder=widget.placeholder, **{"class": "widget-input"}
        )
        return _outer(widget, f"{INLINE} widget-text", _label(widget), field)

    return paint_text


def _textarea(widget: Any) -> Markup:
    field = element(
        "textarea.widget-input",
        # The first line break after the tag would be dropped.
        f"\n{widget.value}" if widget.value.startswith("\n") else widget.value,
        id=_id(widget),
        rows=widget.rows,
        placeholder=widget.placeholder,
        disabled=widget.disabled,
        autocomplete="off",
    )
    return _outer(widget, f"{INLINE} widget-textarea", _label(widget), field)


def _number(widget: Any) -> Markup:
    value = widget.value
    shown = int(value) if isinstance(value, float) and value.is_integer() else value
    field = _input(widget, "number", shown, step=widget.step, required=True)
    return _outer(widget, f"{INLINE} widget-text", _label(widget), field)


def _picker(kind: str, classes: str) -> Painter:
    def paint_picker(widget: Any) -> Markup:
        value = "" if widget.value is None else widget.value.isoformat()
        field = _input(widget, kind, value, step=getattr(widget, "step", None))
        return _outer(widget, f"{INLINE} {classes}", _label(widget), field)

    return paint_picker


def _color(widget: Any) -> Markup:
    text = _input(widget, "text", widget.value, style=HIDDEN)
    color = _input(widget, "color", widget.value, id=None, aria_label="Color picker")
    inner = element("div.widget-inline-hbox.widget-colorpicker-input", text, color)
    return _outer(widget, f"{INLINE} widget-colorpicker concise", _label(widget), inner)


def _checkbox(widget: Any) -> Markup:
    box = _input(widget, "checkbox", None, checked=widget.value, id=None)
    label = element("label.widget-label-basic", box, element("span", widget.description))
    empty = element("label.widget-label", style=HIDDEN)
    return _outer(widget, f"{INLINE} widget-checkbox", empty, label)


def _dropdown(widget: Any) -> Markup:
    options = [
        element("option", label.replace(" ", "\u00a0"), value=label, selected=at == widget.index)
        for at, label in enumerate(widget._options_labels)
    ]
    if widget.index is None:
        # Without a choice a browser would show the first one.
        options.insert(0, element("option", selected=True, disabled=True, hidden=True))
    menu = element("select", *options, id=_id(widget), autocomplete="off")
    return _outer(widget, f"{INLINE} widget-dropdown", _label(widget), menu)


def _radio(widget: Any) -> Markup:
    labels = [
        element(
            "label",
            label,
            _input(widget, "radio", at, id=None, name=_id(widget), checked=at == widget.index),
        )
        for at, label in enumerate(widget._options_labels)
    ]
    group = element("div.widget-radio-box.widget-radio-box-vertical", *labels)
    return _outer(widget, f"{INLINE} widget-radio", _label(widget), group)


def _segments(widget: Any) -> Markup:
    buttons = [
        element(
            "button.widget-toggle-button.jupyter-button" + ".mod-active" * (at == widget.index),
            label,
            type="button",
            value=at,
            aria_pressed=str(at == widget.index).lower(),
        )
        for at, label in enumerate(widget._options_labels)
    ]
    group = element("div", *buttons)
    return _outer(widget, f"{INLINE} widget-toggle-buttons", _label(widget), group)


def _button(widget: Any) -> Markup:
    return _outer(
        widget,
        "jupyter-widgets jupyter-button widget-button",
        widget.description,
        tag="button",
        type="button",
        title=widget.tooltip or widget.description,
        disabled=widget.disabled,
    )


def _progress(widget: Any) -> Markup:
    bar = element("div.progress-bar", style="position: absolute; bottom: 0; left: 0; width: 0")
    inner = element("div.progress", bar, style="position: relative")
    return _outer(widget, f"{INLINE} widget-hprogress", _label(widget), inner)


def _slider(scale: Callable[[Any, float], float]) -> Painter:
    def paint_slider(widget: Any) -> Markup:
        values = widget.value if isinstance(widget.value, tuple) else (widget.value,)
        ends = [100 * min(1.0, max(0.0, scale(widget, value))) for value in values]
        names = ("lower", "upper")
        handles = [
            element(
                "div.noUi-origin",
                element(
                    f"div.noUi-handle.noUi-handle-{names[at]}",
                    element("div.noUi-touch-area"),
                ),
                style=f"transform: translate({10 * (end - 100):g}%, 0)",
            )
            for at, end in enumerate(ends)
        ]
        base = element("div.noUi-base", element("div.noUi-connects", _connect(ends)), *handles)
        target = "div.slider.noUi-target.noUi-ltr.noUi-horizontal.noUi-txt-dir-ltr"
        text = " \u2013 ".join(_written(value, widget.readout_format) for value in values)
        readout = element("div.widget-readout", text, contenteditable="true")
        return _outer(
            widget,
            f"{INLINE} widget-slider widget-hslider",
            _label(widget),
            element("div.slider-container", element(target, base)),
            readout,
        )

    return paint_slider


def _connect(ends: list[float]) -> Markup | None:
    """Return the filled part between two handles."""
    if len(ends) < 2:
        return None
    width = (ends[1] - ends[0]) / 100
    move = f"translate({ends[0]:g}%, 0) scale({width:g}, 1)"
    return element("div.noUi-connect", style=f"transform: {move}")


def _written(value: float, form: str) -> str:
    """Return a number as d3 formats it: all digits of ``g``, and a true minus sign."""
    written = format(value, f"#{form}" if form.endswith("g") else form)
    return written.removesuffix(".").replace("-", "\u2212")


def _linear(widget: Any, value: float) -> float:
    return float((value - widget.min) / ((widget.max - widget.min) or 1))


def _logarithmic(widget: Any, value: float) -> float:
    return _linear(widget, math.log(value, widget.base)) if value > 0 else 0.0


def _tags(widget: Any) -> Markup:
    tags = [
        element("div.jupyter-widget-tag", tag, element("i.fa.fa-times.jupyter-widget-tag-close"))
        for tag in widget.value
    ]
    field = element(
        "input.jupyter-widget-tag.jupyter-widget-taginput",
        type="text",
        placeholder=widget.placeholder,
        size=len(widget.placeholder) + 1,
        autocomplete="off",
    )
    wrapper = element("div.widget-text", field, style=HIDDEN if tags else "display: inline-block")
    return _outer(widget, "jupyter-widgets jupyter-widget-tagsinput", *tags, wrapper)


PAINTERS: dict[str, Painter] = {
    "AccordionView": _accordion,
    "BoxView": _box(""),
    "ButtonView": _button,
    "CheckboxView": _checkbox,
    "ColorPickerView": _color,
    "ComboboxView": _typed("text"),
    "DatePickerView": _picker("date", "widget-datepicker"),
    "DatetimeView": _picker("datetime-local", "widget-datetimepicker"),
    "DropdownView": _dropdown,
    "FloatLogSliderView": _slider(_logarithmic),
    "FloatRangeSliderView": _slider(_linear),
    "FloatSliderView": _slider(_linear),
    "FloatTextView": _number,
    "HBoxView": _box("widget-hbox"),
    "HTMLView": _html,
    "IntRangeSliderView": _slider(_linear),
    "IntSliderView": _slider(_linear),
    "IntTextView": _number,
    "PasswordView": _typed("password"),
    "ProgressView": _progress,
    "RadioButtonsView": _radio,
    "StackView": _stack,
    "TagsInputView": _tags,
    "TextView": _typed("text"),
    "TextareaView": _textarea,
    "TimeView": _picker("time", "widget-timepicker"),
    "ToggleButtonsView": _segments,
    "VBoxView": _box("widget-vbox"),
}
"""By the name of the view. Others, such as plots, leave their space empty."""
