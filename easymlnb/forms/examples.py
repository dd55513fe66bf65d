"""The examples of a service, as buttons with pictures or short texts."""

import base64
from binascii import Error
from functools import lru_cache
from typing import Any

from easymlnb.contract import installation
from easymlnb.contract.jsonschema import SchemaNode
from easymlnb.contract.spec import ServiceSpec
from easymlnb.forms import previews
from easymlnb.forms.markup import Markup, button, element, join
from easymlnb.forms.renderers import figure

MOST = 12
"""Examples that are shown."""

LARGEST = 4 * 2**20
"""Characters of base64 up to which an image gets a thumbnail."""


def gallery(spec: ServiceSpec) -> Markup:
    """Return buttons that fill in the examples; empty if there are none."""
    names = example_names(spec)[:MOST]
    buttons = [
        button(
            join((_picture(spec, example), element("span", name))),
            "example",
            at,
            "button.em-example",
        )
        for at, (name, example) in enumerate(zip(names, spec.examples, strict=False))
    ]
    if not buttons:
        return Markup()
    legend = element("div.em-legend", "Examples")
    return element("div.em-presets", legend, element("div.em-gallery", *buttons))


def _picture(spec: ServiceSpec, example: dict[str, Any]) -> Markup:
    root = SchemaNode.root(spec.input)
    for name, value in example.items():
        node = root.child(root.properties.get(name), name)
        kinds = {str(each.hint("widget")) for each in (node, *node.alternatives)}
        code = value.get("b64") if isinstance(value, dict) else value
        if kinds & {"image", "webcam"} and isinstance(code, str) and len(code) < LARGEST:
            return thumbnail(code)
    return Markup()


@lru_cache(maxsize=32)
def thumbnail(code: str) -> Markup:
    """Return an image, in base64 or as a data URI, as a small picture; empty if it is invalid."""
    if installation.missing("PIL"):
        return Markup()
    if code.startswith("data:"):
        code = code.partition(",")[2]
    try:
        return previews.thumbnail(base64.b64decode(code, validate=True))
    except (Error, ValueError, OSError):
        return Markup()


def example_names(spec: ServiceSpec) -> list[str]:
    """Return a short name for each example: a value that no other has, or its number."""
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
            found.append(f"{title}: {figure(value)}"[:40])
        elif isinstance(value, dict) and isinstance(value.get("name"), str):
            found.append(value["name"][:40])
    return found
