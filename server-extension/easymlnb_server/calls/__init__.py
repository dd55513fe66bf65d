"""Run a call from any entry point to its result."""
