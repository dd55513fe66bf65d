"""``train``, ``status`` and ``predict`` as the client of the MLaaS paper calls them.

Ribeiro, M., Grolinger, K. and Capretz, M. (2015). MLaaS: Machine Learning as a Service. ICMLA.
Its script sends no login: the address has a key, or the model is public for training.
"""
