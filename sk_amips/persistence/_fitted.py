"""Whether fitted attributes from a file are those that an estimator has."""

from __future__ import annotations

import numpy as np

from .._sharded import ShardedArray
from .._validation import KeyNorms
from ..index._calibrate import Calibration
from ..nn import Ellipsoids
from ..partition import Partition
from ..routing import BaseRouter
from ._errors import InvalidFileError

__all__ = ["check_fitted"]

_ROUTER = {
    "n_features_in_": int,
    "key_norms_": KeyNorms,
    "partition_": Partition,
    "random_state_": np.random.RandomState,
}
_NET = _ROUTER | {"net_": dict, "n_summed_": int, "is_cold_": bool}
# By class, what a fit sets, and of which type.
NEEDED = {
    "SupportNetRegressor": _NET,
    "KeyNetRegressor": _NET,
    "CentroidRouter": _ROUTER,
    "LinearRouter": _ROUTER | {"coef_": np.ndarray, "intercept_": np.ndarray},
    "OptimisticRouter": _ROUTER | {"ellipsoids_": Ellipsoids},
    "DatabaseCompressor": {
        "n_features_in_": int,
        "ranking_": np.ndarray,
        "kept_": np.ndarray,
        "recall_": float,
        "standard_error_": float,
        "_k": int,
        "_max_norm": float,
        "_ranking": dict,
    },
    "AmortizedNeighbors": {
        "n_features_in_": int,
        "router_": BaseRouter,
        "learned_router_": BaseRouter,
        "partition_": Partition,
        "calibrations_": dict,
        "report_": dict,
        "_lists": dict,
        "_is_bounded": bool,
    },
}
# And what it may set.
ALSO = {
    "feature_names_in_": np.ndarray,
    "factors_": tuple,
    "n_samples_seen_": int,
    "keys_": np.ndarray | ShardedArray,
    "shards_": np.ndarray,
}


def check_fitted(estimator, fitted: dict) -> None:
    """Raise unless attributes are of their types, and belong together and to the keys.

    Raises
    ------
    InvalidFileError
        With what does not fit.
    """
    needed = NEEDED[type(estimator).__name__]
    missing = needed.keys() - fitted.keys()
    _need(not missing, f"{sorted(missing)} are there")
    for name, value in fitted.items():
        kind = needed.get(name) or ALSO.get(name)
        _need(kind is not None, f"there is no attribute {name}")
        _need(isinstance(value, kind), f"{name} is a {getattr(kind, '__name__', kind)}")
    width, keys = fitted["n_features_in_"], fitted.get("keys_")
    names = fitted.get("feature_names_in_")
    _need(names is None or len(names) == width > 0, "features have their names")
    if keys is not None:
        _need(keys.shape[1] == width, "keys are as wide as the queries")
    norms = fitted.get("key_norms_")
    if norms is not None:
        largest = norms.max * (1 + 1e-6)
        _need(0 <= norms.rms <= largest < np.inf, "norms are those of keys")
    lists = fitted.get("partition_")
    if lists is not None:
        _need(lists.centroids_.shape[1] == width, "lists are of keys as wide")
        _need(keys is None or len(keys) == len(lists.labels_), "keys are in lists")
    if "coef_" in fitted:
        _check_linear(fitted, lists.centroids_.shape)
    if "ellipsoids_" in fitted:
        axes = fitted["ellipsoids_"].factors
        _need((len(axes), axes.shape[2]) == lists.centroids_.shape, "axes of each list")
    if "kept_" in fitted:
        _need(keys is not None, "keys are given, load(path, keys)")
        _check_ranking(fitted, len(keys))
    if "router_" in fitted:
        _need(keys is not None, "keys are given, load(path, keys)")
        _check_index(fitted)


def _need(condition: bool, what: str) -> None:
    if not condition:
        raise InvalidFileError(f"should hold: {what}.")


def _check_linear(fitted: dict, shape: tuple[int, int]) -> None:
    """Weights and constants for each list, and factors of the weights."""
    coef, intercept = fitted["coef_"], fitted["intercept_"]
    _need(coef.shape == shape and coef.dtype.kind == "f", "each list has weights")
    _need(intercept.shape == shape[:1] and intercept.dtype.kind == "f", "a constant")
    if "factors_" in fitted:
        left, right = fitted["factors_"]
        _need(left.ndim == right.ndim == 2, "factors are matrices")
        _need((left.shape[0], right.shape[1]) == shape, "factors are of the weights")
        _need(left.shape[1] == right.shape[0], "factors can be multiplied")


def _check_ranking(fitted: dict, n_keys: int) -> None:
    """Rows of keys, and places of best keys."""
    for name in ("ranking_", "kept_"):
        rows = fitted[name]
        _need(rows.ndim == 1 and rows.dtype == np.int64, f"{name} are rows")
        _need(0 <= rows.min() <= rows.max() < n_keys, f"{name} are rows of keys")
    ranking = fitted["_ranking"]
    names = {"order", "ahead", "_groups", "_weight"}
    _need(ranking.keys() == names, "a ranking has its parts")
    _need(
        all(isinstance(v, np.ndarray) for v in ranking.values()), "all of them arrays"
    )
    n = len(ranking["_weight"])
    _need(ranking["ahead"].ndim == 2 and len(ranking["ahead"]) == n, "one a query")
    _need(1 <= fitted["_k"] <= n_keys, "k is a number of keys")


def _check_index(fitted: dict) -> None:
    """Routers over the lists of the index, and calibrations by numbers of keys."""
    for name in ("router_", "learned_router_"):
        lists = getattr(fitted[name], "partition_", None)
        _need(isinstance(lists, Partition), "routers are fitted")
        labels = lists.labels_, fitted["partition_"].labels_
        _need(np.array_equal(*labels), "routers have the lists of the index")
    if "shards_" in fitted:
        shards = fitted["shards_"]
        n_lists = fitted["partition_"].n_partitions
        _need(shards.shape == (n_lists,), "each list is on a shard")
        _need(shards.dtype == np.int64, "shards have numbers")
        used = np.unique(shards)
        _need(np.array_equal(used, np.arange(len(used))), "all shards have lists")
    for k, calibration in fitted["calibrations_"].items():
        _need(isinstance(k, int) and k > 0, "calibrations are by numbers of keys")
        _need(isinstance(calibration, Calibration), "they are calibrations")
        _need(calibration.critical.shape[1] == k, "of so many keys")
