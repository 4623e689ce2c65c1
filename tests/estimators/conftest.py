from types import SimpleNamespace

import numpy as np
import pytest

from sk_amips import KeyNetRegressor, SupportNetRegressor


@pytest.fixture(scope="session")
def log():
    """Clustered keys of varying norm, and queries written near them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 12))
    keys = centres[rng.integers(20, size=400)] + 0.4 * rng.normal(size=(400, 12))
    groups = rng.integers(400, size=1200)
    queries = keys[groups] + 0.3 * rng.normal(size=(1200, 12))
    keys = keys.astype(np.float32)
    keys.flags.writeable = False
    return SimpleNamespace(
        keys=keys,
        train=queries[:1000].astype(np.float32),
        test=queries[1000:].astype(np.float32),
        groups=groups[:1000],
    )


@pytest.fixture(params=[SupportNetRegressor, KeyNetRegressor])
def make(request, log):
    """A factory of small estimators of either kind over the keys of the log."""

    def make(**params):
        small = {"hidden_layer_sizes": (32,), "max_epochs": 3, "random_state": 0}
        return request.param(**({"keys": log.keys} | small | params))

    make.cls = request.param
    return make
