"""Requests of MLflow's scoring protocol in a worker."""
