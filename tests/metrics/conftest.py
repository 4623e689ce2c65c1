import numpy as np
import pytest

from sk_amips import CentroidRouter, KeyNetRegressor, exact_search


@pytest.fixture
def queries(rng):
    return 3 + rng.normal(size=(80, 4))


@pytest.fixture
def keys(rng):
    return rng.normal(size=(200, 4))


@pytest.fixture
def router(keys, queries):
    return CentroidRouter(keys, n_partitions=10, random_state=0).fit(queries)


@pytest.fixture
def best_keys(keys, queries):
    return exact_search(keys, queries)[1][:, 0]


@pytest.fixture
def key_net(keys, queries):
    """A network that finds some of the best keys."""
    return KeyNetRegressor(
        keys, hidden_layer_sizes=(8,), lr=0.03, max_epochs=40, random_state=0
    ).fit(queries)


@pytest.fixture
def weight(queries):
    return np.arange(len(queries)) % 3
