"""Answer simple calls without Tornado's request handling."""
