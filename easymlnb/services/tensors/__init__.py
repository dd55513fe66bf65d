"""Calls in the form of the Open Inference Protocol: named tensors in place of JSON values."""
