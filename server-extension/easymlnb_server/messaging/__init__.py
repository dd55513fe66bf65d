"""Bridges: messages of a broker become calls, and results become messages."""
