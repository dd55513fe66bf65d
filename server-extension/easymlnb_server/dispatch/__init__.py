"""One version's queue and its workers' slots."""
