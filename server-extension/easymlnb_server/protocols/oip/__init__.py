"""Services as models: the Open Inference Protocol of Triton, KServe and MLServer."""
