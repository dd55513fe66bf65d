"""Quotas: limits of calls per key, user, service and visitor."""
