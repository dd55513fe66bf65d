"""Kernels on the nodes of a JupyterHub: named servers of the user, started by the Hub's spawner.

A kernel there has two ends. On the node ``node`` starts it beside the node's own server; here
``remote`` gives it sockets that look like those of a local one. Between them one websocket through
the Hub's proxy carries the kernel's messages as they are (``pipe``), so nothing but HTTP has to be
open between nodes.
"""
