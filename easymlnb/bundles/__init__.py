"""Making a bundle: what a notebook needs to run elsewhere, found by reading its code."""

from easymlnb.bundles.make import Made, make

__all__ = ["Made", "make"]
