"""The examples of a service, as pictures or words to press."""

import base64
from binascii import Error
from functools import lru_cache
from html import escape
from typing import Any

from easymlnb.contract import installation
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms import previews

MOST = 12
"""Examples that are shown."""

LARGEST = 4 * 2**20
"""Characters of base64 of which a thumbnail is made."""


def gallery(spec: ServiceSpec) -> str:
    """Return the examples as HTML; "" when there are none. The desk acts on the buttons."""
    buttons = [
        f'<button type="button" class="em-example" data-em-do="example" data-em-value="{at}">'
        f"{_picture(spec, example)}<span>{escape(name)}</span></button>"
        for at, (name, example) in enumerate(
            zip(preset_names(spec)[:MOST], spec.examples, strict=False)
        )
    ]
    if not buttons:
        return ""
    return (
        '<div class="em-presets"><div class="em-legend">Examples</div>'
        f'<div class="em-gallery">{"".join(buttons)}</div></div>'
    )


def _picture(spec: ServiceSpec, example: dict[str, Any]) -> str:
    root = SchemaNode.root(spec.input)
    for name, value in example.items():
        node = root.child(root.properties.get(name), name)
        kinds = {str(one.hint("widget")) for one in (node, *node.alternatives)}
        code = value.get("b64") if isinstance(value, dict) else value
        if kinds & {"image", "webcam"} and isinstance(code, str) and len(code) < LARGEST:
            return thumbnail(code)
    return ""


@lru_cache(maxsize=32)
def thumbnail(code: str) -> str:
    """Return an image, in base64 or as a data URI, as a small picture; "" when it is none."""
    if installation.missing("PIL"):
        return ""
    if code.startswith("data:"):
        code = code.partition(",")[2]
    try:
        return previews.thumbnail(base64.b64decode(code, validate=True))
    except (Error, ValueError, OSError):
        return ""


def preset_names(spec: ServiceSpec) -> list[str]:
    """Return a few words for each example: what no other example has, else its number."""
    found = [_words(spec, example) for example in spec.examples]
    names = []
    for at, words in enumerate(found):
        others = [word for other in found[:at] + found[at + 1 :] for word in other]
        names.append(next((word for word in words if word not in others), f"Example {at + 1}"))
    return names


def _words(spec: ServiceSpec, example: dict[str, Any]) -> list[str]:
    root = SchemaNode.root(spec.input)
    found = []
    for name, value in example.items():
        if isinstance(value, str | int | float) and len(str(value)) <= 24:
            title = root.child(root.properties.get(name), name).title
            found.append(f"{title}: {value}"[:40])
        elif isinstance(value, dict) and isinstance(value.get("name"), str):
            found.append(value["name"][:40])
    return found
