"""Voila's internals: its files, its page configuration, and the content that its pages need.

Its front end renders our pages and uses a page session as the kernel under ``baseUrl``. Voila's
handlers and kernels are not used.
"""
