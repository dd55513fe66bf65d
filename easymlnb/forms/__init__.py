"""Forms made from a JSON Schema, in ipywidgets."""
