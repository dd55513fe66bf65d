"""App pages: what a page shows, and how it calls its service."""
