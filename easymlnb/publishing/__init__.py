"""Publish a notebook: collect its bundle, upload it, follow its start."""
