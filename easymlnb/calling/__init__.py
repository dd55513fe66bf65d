"""Call services from inside a worker kernel or a cell."""
