"""Trained models: save them in safe formats, load them by name, serve the newest version."""
