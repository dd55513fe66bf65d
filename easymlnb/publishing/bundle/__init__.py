"""Making a bundle: what a notebook needs to run elsewhere, found by reading its code."""

from easymlnb.publishing.bundle.build import Made, make

__all__ = ["Made", "make"]
