"""HTTP only: read, one call, write."""
