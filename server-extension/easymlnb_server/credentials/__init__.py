"""Credentials for published code: stored encrypted, given to the workers of one service."""
