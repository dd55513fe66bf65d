"""Webhooks and mail: tell programs and people that a job has ended."""
