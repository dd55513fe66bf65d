"""API keys: who may call which services, with a text instead of a login."""
