"""Calls where they run: in a worker, or beside the cells of an author."""
