"""Build a bundle: find what a notebook needs to run elsewhere by reading its code."""

from easymlnb.publishing.bundle.build import BuiltBundle, build_bundle

__all__ = ["BuiltBundle", "build_bundle"]
