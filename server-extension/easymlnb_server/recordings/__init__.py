"""Calls that are kept with inputs and results: sampled ones, and those that a caller flagged."""
