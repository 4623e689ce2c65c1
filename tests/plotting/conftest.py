"""Small fitted estimators that the displays are drawn of."""

from types import SimpleNamespace

import numpy as np
import pytest

from sk_amips import (
    AmortizedNeighbors,
    CentroidRouter,
    KeyNetRegressor,
    LinearRouter,
    SupportNetRegressor,
)


@pytest.fixture(scope="session")
def fitted():
    """Estimators over the same 300 keys in 9 lists, and 80 queries that are new."""
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(300, 6))
    train, new = (keys[rng.integers(300, size=n)] for n in (400, 80))
    train, new = (x + 0.3 * rng.normal(size=x.shape) for x in (train, new))
    centroids = CentroidRouter(keys, n_partitions=9, random_state=0).fit(train)
    same = {"partition": centroids.partition_, "random_state": 0}
    net = {"hidden_layer_sizes": (8,), "max_epochs": 4, "early_stopping": True}
    linear = LinearRouter(keys, **same).fit(train[:300])
    return SimpleNamespace(
        keys=keys,
        train=train,
        X=new,
        centroids=centroids,
        linear=linear,
        support=SupportNetRegressor(keys, **same, **net).fit(train),
        key=KeyNetRegressor(keys, random_state=0, **net).fit(train),
        index=AmortizedNeighbors(linear, k=5, target_recall=0.9, random_state=0).fit(
            train[300:]
        ),
    )
