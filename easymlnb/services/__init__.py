"""Turn a function into a service: its schema, validation and encodings."""
