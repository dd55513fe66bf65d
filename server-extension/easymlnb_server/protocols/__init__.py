"""Other people's protocols: each one is an adapter over ``calls.invoker.Invoker``.

An adapter translates; it decides nothing. Login, API keys, access, limits, deadlines, queues,
versions, the log and cancellation are those of every call, because the adapter

1. derives its handler from ``protocols.handlers.ProtocolHandler``, which identifies the caller and
   stops the calls of a caller who disconnects;
2. makes a ``CallRequest`` with ``ProtocolHandler.call_request``, which reads the headers that all
   calls have in common (``X-Timeout``, ``X-Priority``, ``X-Easymlnb-Version``, ``traceparent``);
3. runs the request with ``ProtocolHandler.invoke``, and translates the ``CallResult``;
4. overrides ``ProtocolHandler.error_document``, so that every error, also of the login, has the
   form that clients of the protocol read. Errors are ``EasyMLNBError``: the adapter maps their
   ``code`` or ``status`` to its own codes and never makes up a text.

A protocol has a folder or a module of its own. What needs no request is in pure modules; Tornado is
imported in ``handlers`` only. Objects that outlive a request are built in ``wiring`` and are a
field of ``ServerContext``.
"""
