"""What survives: rows in a database, files by content hash."""
