"""Making a bundle: what a notebook needs to run elsewhere, found by reading its code."""

from easymlnb.publishing.bundle.build import BuiltBundle, make

__all__ = ["BuiltBundle", "make"]
