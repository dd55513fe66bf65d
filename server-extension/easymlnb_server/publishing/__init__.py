"""From an accepted bundle to versions that serve."""
