"""The page of a service for people without a notebook: what stands on it, and what calls for it."""
