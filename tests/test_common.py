"""scikit-learn's own checks, on every estimator, without keys and with real ones."""

import numpy as np
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_amips import (
    CentroidRouter,
    DatabaseCompressor,
    KeyNetRegressor,
    LinearRouter,
    OptimisticRouter,
    SupportNetRegressor,
)

SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 2, "batch_size": 64}

# A batch of a weighted log and the same log with repeated rows are shuffled and cut
# into other batches, as for every estimator trained by stochastic gradients.
STOCHASTIC = {
    "check_sample_weight_equivalence_on_dense_data": "trained by stochastic gradients",
}
# Without keys the queries are the keys: weights repeat queries, but no key.
QUERIES_ARE_KEYS = {
    "check_sample_weight_equivalence_on_dense_data": "repeated rows are further keys",
}
# The target of a KeyNet is a number or a key for each query; what it predicts is always
# a key, while this check wants predictions of the shape of the target.
VECTOR_OUTPUT = {"check_regressors_train": "predict returns a key, y is 1-D here"}

# Widths of the queries that each check generates, which the keys must share. Checks
# not named here do not fit, or stop at an error ahead of the keys.
WIDTHS = {
    1: ["fit2d_1feature"],
    2: [
        "estimators_fit_returns_self",
        "estimators_overwrite_params",
        "estimators_partial_fit_n_features",
        "fit_check_is_fitted",
        "fit_idempotent",
        "n_features_in",
        "readonly_memmap_input",
        "sample_weights_not_an_array",
        "sample_weights_not_overwritten",
        "sample_weights_pandas_series",
        "sample_weights_shape",
    ],
    3: [
        "dict_unchanged",
        "dont_overwrite_parameters",
        "estimators_nan_inf",
        "estimators_pickle",
        "f_contiguous_array_estimator",
        "fit2d_predict1d",
        "fit_score_takes_y",
        "methods_sample_order_invariance",
        "methods_subset_invariance",
        "pipeline_consistency",
        "sample_weights_list",
        "supervised_y_2d",
        "transformer_data_not_an_array",
        "transformer_general",
        "transformer_preserve_dtypes",
    ],
    4: [
        "n_features_in_after_fitting",
        "positive_only_tag_during_fit",
        "regressors_no_decision_function",
    ],
    5: ["estimators_dtypes"],
    10: [
        "dtype_object",
        "fit2d_1sample",
        "regressor_data_not_an_array",
        "regressors_int",
        "regressors_train",
    ],
    20: ["all_zero_sample_weights_error"],
    30: ["sample_weight_equivalence_on_dense_data"],
}
WIDTH = {f"check_{name}": width for width, names in WIDTHS.items() for name in names}


def expected_failures(estimator):
    if isinstance(estimator, KeyNetRegressor):
        return STOCHASTIC | VECTOR_OUTPUT
    if isinstance(estimator, SupportNetRegressor):
        return STOCHASTIC
    if isinstance(estimator, LinearRouter) and estimator.keys is None:
        return QUERIES_ARE_KEYS
    return {}


@parametrize_with_checks(
    [
        SupportNetRegressor(**SMALL),
        KeyNetRegressor(**SMALL),
        CentroidRouter(),
        OptimisticRouter(),
        LinearRouter(),
        LinearRouter(loss="cross_entropy"),
    ],
    expected_failed_checks=expected_failures,
    xfail_strict=True,
)
def test_without_keys(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [
        SupportNetRegressor(np.ones((1, 1)), **SMALL),
        SupportNetRegressor(np.ones((1, 1)), convexity="strict", **SMALL),
        KeyNetRegressor(np.ones((1, 1)), **SMALL),
        CentroidRouter(np.ones((1, 1))),
        OptimisticRouter(np.ones((1, 1))),
        LinearRouter(np.ones((1, 1))),
        LinearRouter(np.ones((1, 1)), loss="cross_entropy"),
        DatabaseCompressor(np.ones((1, 1))),
    ],
    expected_failed_checks=expected_failures,
    xfail_strict=True,
)
def test_with_keys(estimator, check):
    width = WIDTH.get(check.func.__name__, 3)
    keys = np.random.default_rng(0).normal(size=(40, width))
    keys.flags.writeable = False
    check(estimator.set_params(keys=keys))
