"""Hint markers: each owns its schema, its check and its encodings."""
