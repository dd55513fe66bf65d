"""The Voila template of app pages, its files, and how pages are rendered from it.

Voila finds the template as any other, so an administrator can replace it. Its script draws the
page and uses a page session as its kernel. Voila's handlers, renderer and kernels are not used.
"""
