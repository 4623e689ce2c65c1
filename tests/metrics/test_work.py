import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sk_amips import (
    AmortizedNeighbors,
    CentroidRouter,
    KeyNetRegressor,
    LinearRouter,
    OptimisticRouter,
    SupportNetRegressor,
)
from sk_amips.metrics import macs_per_query

LISTS = 10
ROUTERS = [
    # Centroids, weights of lists, two factors, and centroids with axes.
    (CentroidRouter(), LISTS * 4),
    (LinearRouter(), LISTS * 4),
    (LinearRouter(rank=2), 2 * (LISTS + 4)),
    (OptimisticRouter(rank=3), LISTS * 4 + LISTS * 3 * 4),
]


def fitted(router, keys, queries):
    return router.set_params(keys=keys, n_partitions=LISTS, random_state=0).fit(queries)


@pytest.mark.parametrize(("router", "own"), ROUTERS, ids=str)
def test_a_router(router, own, keys, queries):
    router = fitted(router, keys, queries)
    assert macs_per_query(router) == own
    order = np.argsort(-router.predict_partitions(queries), axis=1)
    n_keys = router.partition_.sizes_[order]
    for n_probe in (1, 3, LISTS - 1):
        macs = macs_per_query(router, queries, n_probe=n_probe)
        assert type(macs) is float
        assert macs == pytest.approx(own + 4 * n_keys[:, :n_probe].sum(axis=1).mean())
    # All keys, and no router is asked.
    assert macs_per_query(router, queries) == keys.size
    assert macs_per_query(router, queries, n_probe=LISTS) == keys.size


def test_a_network(keys, queries):
    net = SupportNetRegressor(
        keys, n_partitions=LISTS, hidden_layer_sizes=(6,), max_epochs=1, random_state=0
    ).fit(queries)
    weights = sum(t.numel() for t in net.net_.module_.state_dict().values())
    assert macs_per_query(net) == weights > LISTS * 6
    order = np.argsort(-net.predict_partitions(queries), axis=1)[:, :2]
    n_keys = net.partition_.sizes_[order].sum(axis=1).mean()
    assert macs_per_query(net, queries, n_probe=2) == pytest.approx(
        weights + 4 * n_keys
    )


def test_an_index(router, queries):
    index = AmortizedNeighbors(router, k=3, target_recall=0.8, random_state=0)
    index.fit(queries)
    assert macs_per_query(index) == macs_per_query(router)
    for search in ({}, {"n_probe": 2}, {"target_recall": 0.5}, {"k": 1}):
        n_keys = index.visited(queries, **search)[1]
        assert macs_per_query(index, queries, **search) == pytest.approx(
            LISTS * 4 + 4 * n_keys.mean()
        )
    probed = macs_per_query(index, queries, n_probe=2)
    assert probed == pytest.approx(macs_per_query(router, queries, n_probe=2))


def test_weights(router, queries, weight):
    macs = macs_per_query(router, queries, n_probe=2, sample_weight=weight)
    repeated = np.repeat(queries, weight, axis=0)
    assert macs == pytest.approx(macs_per_query(router, repeated, n_probe=2))
    assert macs != macs_per_query(router, queries, n_probe=2)


def test_a_pipeline(router, queries):
    pipe = make_pipeline(Normalizer(), router).fit(queries)
    assert macs_per_query(pipe) == macs_per_query(router)
    macs = macs_per_query(pipe, queries, n_probe=2)
    assert macs == macs_per_query(router, pipe[:-1].transform(queries), n_probe=2)


@pytest.mark.parametrize(
    "search", [{"n_probe": 1}, {"k": 1}, {"target_recall": 0.5}, {"sample_weight": [1]}]
)
def test_a_search_needs_queries(router, search):
    with pytest.raises(ValueError, match="need queries"):
        macs_per_query(router, **search)


def test_a_key_for_each_list_is_multiplied_with_the_query(keys, queries):
    params = {"hidden_layer_sizes": (6,), "max_epochs": 1, "random_state": 0}
    net = KeyNetRegressor(keys, n_partitions=LISTS, **params).fit(queries)
    state = net.net_.module_.state_dict().values()
    assert macs_per_query(net) == sum(t.numel() for t in state) + LISTS * 4
    # One key, whose products with the centroids are among the weights, or with nothing.
    for change in ({"shared_head": True}, {"n_partitions": 1}):
        other = clone(net).set_params(**change).fit(queries)
        state = other.net_.module_.state_dict().values()
        assert macs_per_query(other) == sum(t.numel() for t in state)


@pytest.mark.parametrize("n_probe", [None, 2, LISTS])
def test_bad_queries(router, queries, n_probe):
    """Whether the router is asked or not."""
    with pytest.raises(ValueError, match="2 features"):
        macs_per_query(router, queries[:, :2], n_probe=n_probe)
    with pytest.raises(ValueError, match="minimum of 1"):
        macs_per_query(router, queries[:0], n_probe=n_probe)
    with pytest.raises(ValueError, match="sample_weight"):
        macs_per_query(router, queries, n_probe=n_probe, sample_weight=[1.0, 2.0])
    with pytest.raises(ValueError, match="k == -5"):
        macs_per_query(router, queries, n_probe=n_probe, k=-5)


def test_bad_searches(router, queries):
    with pytest.raises(TypeError, match="a router or an AmortizedNeighbors, got Norm"):
        macs_per_query(Normalizer().fit(queries), queries)
    with pytest.raises(ValueError, match="got a CentroidRouter"):
        macs_per_query(router, queries, target_recall=0.9)
    with pytest.raises(ValueError, match="n_probe == 0"):
        macs_per_query(router, queries, n_probe=0)
    with pytest.raises(NotFittedError):
        macs_per_query(CentroidRouter())
