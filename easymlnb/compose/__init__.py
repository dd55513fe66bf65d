"""Pipelines: several functions composed into one service."""
