"""Several server processes on one database: who serves what, and where requests go."""
