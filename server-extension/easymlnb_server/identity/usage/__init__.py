"""Usage: what calls cost, by service, version, user, API key and day."""
