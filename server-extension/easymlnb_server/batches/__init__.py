"""Batches, which run a service on each row of a table, and sweeps over its parameters."""
