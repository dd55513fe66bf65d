"""Names and quantities as clusters and registries allow them."""

import re

from easymlnb.contract.errors import DefinitionError

LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
MAX_LABEL = 63
_SECRET = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")
_IMAGE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?"  # registry
    r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?\Z"
)
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?\Z")


def dns_label(text: str, limit: int = MAX_LABEL) -> str:
    """Return a name for a cluster made from another name, such as that of a service."""
    lower = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = lower if lower[:1].isalpha() else f"service-{lower}"
    return name[:limit].rstrip("-")


def check_label(name: str, what: str = "name", limit: int = MAX_LABEL) -> str:
    """Return a name that is a DNS label; raises ``DefinitionError``."""
    if not LABEL.match(name) or len(name) > limit:
        raise DefinitionError(
            f"The {what} {name[:80]!r} is not a DNS label: use a lowercase letter, followed by "
            f"lowercase letters, digits and - (at most {limit}), such as "
            f"{dns_label(name, limit)!r}."
        )
    return name


def check_secret(name: str) -> str:
    """Return the name of a Kubernetes secret; raises ``DefinitionError``."""
    if not _SECRET.match(name) or len(name) > 253:
        raise DefinitionError(
            f"Invalid name of a Kubernetes secret {name[:80]!r}: use lowercase letters, digits, - "
            "and dots. Pass the name of the secret, not its content."
        )
    return name


def check_image(image: str) -> str:
    """Return the name of an image; raises ``DefinitionError``."""
    if not _IMAGE.match(image) or len(image) > 400:
        raise DefinitionError(
            f"Invalid name of an image {image[:80]!r}: use [REGISTRY/]NAME[:TAG] with a lowercase "
            "name, such as 'registry.example.org/roll:3'."
        )
    return image


def check_quantity(text: str, what: str) -> str:
    """Return a quantity as Kubernetes writes it; raises ``DefinitionError``."""
    if not _QUANTITY.match(text):
        raise DefinitionError(
            f"Invalid {what} {text[:40]!r}: use a quantity of Kubernetes, such as '500m' or '2Gi'."
        )
    return text
