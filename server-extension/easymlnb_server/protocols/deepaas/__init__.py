"""DEEPaaS V2: the routes under ``services/{name}/deepaas``, for clients of DEEPaaS and AI4OS.

A service has them if its notebook serves a DEEPaaS module (``easymlnb.compat.deepaas``).
"""
