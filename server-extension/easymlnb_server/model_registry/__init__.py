"""Trained models: versions, aliases, metrics, and the services that load them."""
