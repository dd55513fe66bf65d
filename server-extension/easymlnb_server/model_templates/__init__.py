"""Models without code: templates, and the models that are made from them."""
