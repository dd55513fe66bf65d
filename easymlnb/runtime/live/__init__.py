"""The link of an author's kernel: cells as live services."""
