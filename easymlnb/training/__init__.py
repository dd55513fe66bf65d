"""Training: splits, checks and comparisons of models, and ``@ml.train``.

Modules that use scikit-learn are imported when they are first needed.
"""

from easymlnb.training import plots as plots
