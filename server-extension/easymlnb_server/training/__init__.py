"""Jobs that train models."""
