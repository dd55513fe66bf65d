"""Metrics, traces, logs, activity and health."""
