"""Queues, workers and what keeps them alive."""
