"""Manifests for Kubernetes, Knative, KServe and OSCAR, as plain values."""
