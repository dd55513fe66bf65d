"""Kernels on the nodes of a JupyterHub: named servers of the user, started by the Hub's spawner.

A kernel there has two ends. On the node, ``placement.node`` starts it. Here, ``tunnel`` provides
sockets that look like those of a local kernel. Between them, one WebSocket through the Hub's proxy
carries the kernel's messages unchanged, so nodes need no open ports but HTTP.
"""
