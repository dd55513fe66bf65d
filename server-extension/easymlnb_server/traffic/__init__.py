"""Which version of a service answers a call."""
