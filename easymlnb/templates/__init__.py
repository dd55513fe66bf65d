"""Models without code: templates that train and serve models from data and a configuration.

Each notebook in ``notebooks/`` is a template. The server publishes it once per author; it then
serves all models of that author that were made from it.
"""
