"""Builds every object of a server once, in order, and passes it to constructors."""
