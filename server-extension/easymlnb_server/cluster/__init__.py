"""One active server process and its standbys, which share a PostgreSQL database."""
