"""Types that fitted estimators contain and skops does not trust: of scikit-learn, NumPy and ours.

Loading one of them only builds an object: none runs code, opens files or imports modules. Types of
other packages are never in this list; their author names them when saving.
"""

_LISTED = """
easymlnb.training.baselines: SeasonalNaive
easymlnb.training.columns: TableColumns
numpy: dtype mean
scipy._lib.array_api_compat.numpy._aliases: asarray
scipy.interpolate._bsplines: BSpline
scipy.sparse._csc: csc_matrix
scipy.sparse._csr: csr_matrix
scipy.stats._distn_infrastructure: rv_continuous_frozen rv_discrete_frozen
sklearn._loss._loss: CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss
sklearn._loss._loss: CyHalfMultinomialLoss CyHalfPoissonLoss CyHalfSquaredError
sklearn._loss._loss: CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss
sklearn._loss.link: HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit
sklearn._loss.loss: AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss
sklearn._loss.loss: HalfMultinomialLoss HalfPoissonLoss HalfSquaredError HalfTweedieLoss
sklearn._loss.loss: HalfTweedieLossIdentity HuberLoss PinballLoss
sklearn.calibration: _CalibratedClassifier _SigmoidCalibration _TemperatureScaling
sklearn.cluster._bisect_k_means: _BisectingTree
sklearn.cluster._kmeans: _kmeans_single_elkan _kmeans_single_lloyd
sklearn.compose._column_transformer: _RemainderColsList make_column_selector
sklearn.ensemble._hist_gradient_boosting.predictor: TreePredictor
sklearn.feature_selection._univariate_selection: chi2 f_classif f_oneway f_regression r_regression
sklearn.feature_selection._mutual_info: mutual_info_classif mutual_info_regression
sklearn.gaussian_process._gpc: _BinaryGaussianProcessClassifierLaplace
sklearn.gaussian_process.kernels: CompoundKernel ConstantKernel DotProduct ExpSineSquared
sklearn.gaussian_process.kernels: Exponentiation Hyperparameter Matern PairwiseKernel Product RBF
sklearn.gaussian_process.kernels: RationalQuadratic Sum WhiteKernel
sklearn.linear_model._sgd_fast: EpsilonInsensitive Hinge Huber Log ModifiedHuber SquaredHinge
sklearn.linear_model._sgd_fast: SquaredEpsilonInsensitive SquaredLoss
sklearn.metrics._classification: accuracy_score balanced_accuracy_score cohen_kappa_score f1_score
sklearn.metrics._classification: fbeta_score jaccard_score log_loss matthews_corrcoef
sklearn.metrics._classification: precision_score recall_score brier_score_loss
sklearn.metrics._dist_metrics: ChebyshevDistance32 ChebyshevDistance64 EuclideanDistance32
sklearn.metrics._dist_metrics: EuclideanDistance64 HaversineDistance32 HaversineDistance64
sklearn.metrics._dist_metrics: ManhattanDistance32 ManhattanDistance64 MinkowskiDistance32
sklearn.metrics._dist_metrics: MinkowskiDistance64 SEuclideanDistance32 SEuclideanDistance64
sklearn.metrics._ranking: average_precision_score roc_auc_score top_k_accuracy_score
sklearn.metrics._regression: explained_variance_score max_error mean_absolute_error
sklearn.metrics._regression: mean_absolute_percentage_error mean_squared_error
sklearn.metrics._regression: mean_squared_log_error median_absolute_error r2_score
sklearn.metrics._regression: root_mean_squared_error
sklearn.metrics._scorer: _CurveScorer _MultimetricScorer _PassthroughScorer _Scorer
sklearn.model_selection._split: GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut
sklearn.model_selection._split: PredefinedSplit RepeatedKFold RepeatedStratifiedKFold ShuffleSplit
sklearn.model_selection._split: StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit
sklearn.model_selection._split: TimeSeriesSplit
sklearn.multiclass: _ConstantPredictor
sklearn.neighbors._ball_tree: BallTree BallTree32 BallTree64
sklearn.neighbors._kd_tree: KDTree KDTree32 KDTree64
sklearn.neural_network._stochastic_optimizers: AdamOptimizer SGDOptimizer
sklearn.tree._tree: Tree
sklearn.utils._bunch: Bunch
sklearn.utils._metadata_requests: MetadataRequest MethodMetadataRequest MethodMapping MethodPair
"""


def _types() -> frozenset[str]:
    lines = (line.partition(": ") for line in _LISTED.split("\n") if line)
    return frozenset(f"{module}.{name}" for module, _, names in lines for name in names.split())


TRUSTED = _types()
"""The types as ``module.name``."""
