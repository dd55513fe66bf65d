"""The server as a service that all users of a Hub share: login, users and limits.

Identity, groups and administrator rights come from the Hub and are cached for seconds. Jupyter's
own routes accept no user.
"""
