"""Streams as server-sent events, and the generate extension."""
