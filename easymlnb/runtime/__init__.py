"""Run calls: in a worker, or next to the cells of an author."""
