from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from sk_amips import CentroidRouter, LinearRouter, OptimisticRouter


@pytest.fixture(scope="session")
def log():
    """Keys in clusters that are long in some directions, and queries unlike them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(15, 12))
    spread = 0.3 * np.exp(rng.normal(size=12))
    keys = centres[rng.integers(15, size=600)] + spread * rng.normal(size=(600, 12))
    rotation = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    queries = keys[rng.integers(600, size=2000)] + 0.1 * rng.normal(size=(2000, 12))
    queries = queries @ rotation + 1.0
    keys.flags.writeable = False
    return SimpleNamespace(keys=keys, train=queries[:1500], test=queries[1500:])


@pytest.fixture(
    params=[
        pytest.param(CentroidRouter, id="centroid"),
        pytest.param(OptimisticRouter, id="optimistic"),
        pytest.param(partial(LinearRouter, loss="cross_entropy"), id="cross_entropy"),
        pytest.param(partial(LinearRouter, loss="ridge"), id="ridge"),
    ]
)
def make(request, log):
    """A factory of routers of each kind over the keys of the log."""

    def make(**params):
        usual = {"keys": log.keys, "n_partitions": 20, "random_state": 0}
        return request.param(**(usual | params))

    return make
