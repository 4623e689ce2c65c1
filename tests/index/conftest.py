"""A small problem: clustered keys of different norms, and queries near them."""

from types import SimpleNamespace

import numpy as np
import pytest

from sk_amips import CentroidRouter, LinearRouter, SupportNetRegressor


@pytest.fixture(scope="session")
def problem():
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(20, 16))

    def near(n, noise):
        return centers[rng.integers(20, size=n)] + noise * rng.normal(size=(n, 16))

    keys = near(1500, 0.5) * rng.uniform(0.3, 3, size=(1500, 1))
    keys[100:104] = keys[99]
    queries = near(2000, 0.7) * rng.uniform(0.1, 10, size=(2000, 1))
    return SimpleNamespace(
        keys=keys.astype(np.float32),
        log=queries[:1400].astype(np.float32),
        test=queries[1400:].astype(np.float32),
    )


@pytest.fixture(scope="session")
def routers(problem):
    """Fitted on half of the log, so that the other half can calibrate."""
    params = {"n_partitions": 30, "random_state": 0}
    train = problem.log[:700]
    return {
        "centroid": CentroidRouter(problem.keys, **params).fit(train),
        "linear": LinearRouter(problem.keys, **params).fit(train),
        "cross-entropy": LinearRouter(problem.keys, loss="cross_entropy", **params).fit(
            train
        ),
        "net": SupportNetRegressor(
            problem.keys, hidden_layer_sizes=(32,), max_epochs=30, **params
        ).fit(train),
    }
