"""Batches in a worker: read tables, run their rows, write the results."""
