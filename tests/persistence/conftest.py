"""Fitted estimators of every kind, to save."""

import numpy as np
import pytest

from sk_amips import (
    AmortizedNeighbors,
    CentroidRouter,
    DatabaseCompressor,
    KeyNetRegressor,
    LinearRouter,
    OptimisticRouter,
    SupportNetRegressor,
)

rng = np.random.default_rng(0)
KEYS = rng.normal(size=(300, 6)).astype(np.float32)
QUERIES = rng.normal(size=(400, 6)).astype(np.float32)
SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}


def net(**params):
    return SupportNetRegressor(KEYS, n_partitions=10, **SMALL | params)


ESTIMATORS = {
    "support": net(),
    "strict": SupportNetRegressor(KEYS, convexity="strict", **SMALL),
    "optimistic base": net(base_score="optimistic"),
    "key": KeyNetRegressor(KEYS, early_stopping=True, **SMALL),
    "shared head": KeyNetRegressor(KEYS, n_partitions=10, shared_head=True, **SMALL),
    "linear": LinearRouter(KEYS, n_partitions=10, rank=3, random_state=0),
    "centroid": CentroidRouter(KEYS, partition=np.arange(300) % 7),
    "optimistic": OptimisticRouter(KEYS, random_state=0),
    "compressor": DatabaseCompressor(KEYS, target_recall=0.8),
    "index": AmortizedNeighbors(
        net(), k=3, target_recall=0.9, fallback=False, random_state=0
    ),
    "exact index": AmortizedNeighbors(LinearRouter(KEYS, random_state=0), k=2),
    "several": AmortizedNeighbors(
        [LinearRouter(KEYS, random_state=0), net()],
        target_recall=0.9,
        fallback=False,
        random_state=0,
    ),
    "compressed": AmortizedNeighbors(
        LinearRouter(KEYS, n_partitions=10, random_state=0),
        lists="rabitq",
        target_recall=0.8,
        random_state=0,
    ),
}


@pytest.fixture(scope="session", params=ESTIMATORS)
def fitted(request):
    """An estimator that has learned from ``QUERIES``."""
    return ESTIMATORS[request.param].fit(QUERIES)


@pytest.fixture(scope="session")
def support():
    return net().fit(QUERIES)


def answers(estimator):
    """What an estimator says of some queries."""
    found = estimator.search(QUERIES[:50], k=2)
    if hasattr(estimator, "predict_partitions"):
        return *found, estimator.predict_partitions(QUERIES[:50])
    return found


def assert_same(one, other):
    """Two estimators say the same, to the last bit."""
    for a, b in zip(answers(one), answers(other), strict=True):
        np.testing.assert_array_equal(a, b)
