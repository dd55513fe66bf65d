"""Save and restore the whole state: the rows of all tables, and the files."""
