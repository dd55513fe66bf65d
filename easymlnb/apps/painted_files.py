"""The file chooser as HTML, before its script draws it: see ``forms/scripts/upload.js``."""

from easymlnb.forms.file_upload import FileUpload
from easymlnb.forms.markup import Markup, element

UNITS = (("GB", 2**30), ("MB", 2**20), ("kB", 2**10))


def file_drop(widget: FileUpload) -> Markup:
    """Return the empty chooser of a file field."""
    noun = widget.noun
    article = "an" if noun[:1].lower() in "aeiou" else "a"
    title = widget.title or noun
    most = f", up to {_size(widget.max_bytes)}" if widget.max_bytes else ""
    text = f"No {noun} selected. You can also drop or paste {article} {noun} here{most}."
    chooser = element(
        "input.em-unseen",
        type="file",
        accept=",".join(widget.accept),
        aria_label=f"{title}: choose a file",
    )
    label = element("label.em-button.em-choose", chooser, element("span", "Choose a file"))
    about = element("div.em-about", element("div.em-help", text))
    drop = element("div.em-drop", about, label, role="group")
    return Markup(drop + element("div.em-below"))


def _size(count: int) -> str:
    """Return a number of bytes as ``file_rules.js`` writes it."""
    for unit, size in UNITS:
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count} bytes"
