"""Build a bundle: find what a notebook needs to run elsewhere by reading its code."""

from easymlnb.publishing.bundle.build import BuiltBundle, make

__all__ = ["BuiltBundle", "make"]
