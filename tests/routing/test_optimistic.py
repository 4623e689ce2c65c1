import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sk_amips import CentroidRouter, OptimisticRouter
from sk_amips.metrics import routing_recall_scorer
from sk_amips.routing._optimistic import list_ellipsoids

D = 12


@pytest.fixture
def fit(log):
    def fit(**params):
        usual = {"n_partitions": 20, "random_state": 0}
        return OptimisticRouter(**({"keys": log.keys} | usual | params)).fit(log.train)

    return fit


def naive_scores(keys, labels, queries):
    """The formula, list by list."""
    columns = []
    for j in range(labels.max() + 1):
        members = keys[labels == j]
        mean = members.mean(axis=0)
        covariance = (members - mean).T @ (members - mean) / len(members)
        variance = ((queries @ covariance) * queries).sum(axis=1)
        best = np.sqrt(2 * np.log(len(members)) * variance)
        columns.append(queries @ mean + best)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("rank", [None, D, 99])
def test_all_axes_give_the_formula(log, fit, rank):
    router = fit(rank=rank)
    np.testing.assert_allclose(
        router.predict_partitions(log.test),
        naive_scores(log.keys, router.partition_.labels_, log.test),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("rank", [1, 3, D - 1, D])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_any_rank_keeps_the_trace(log, fit, rank, scale):
    """The sum of the squared values along orthonormal directions is the trace."""
    partition = fit().partition_
    ellipsoids = list_ellipsoids(log.keys, partition, rank=rank, scale=scale)
    assert ellipsoids.factors.shape == (20, rank, D)
    squares = ellipsoids.scores(torch.eye(D, dtype=torch.float64)).square().sum(dim=0)
    traces = [log.keys[partition.members(j)].var(axis=0).sum() for j in range(20)]
    np.testing.assert_allclose(squares, 2 * np.log(partition.sizes_) * traces)


@pytest.mark.parametrize("rank", [1, 3])
def test_low_rank_keeps_the_longest_axes(log, fit, rank):
    router = fit(rank=rank)
    for j in range(20):
        members = log.keys[router.partition_.members(j)]
        _, axes = np.linalg.eigh(np.cov(members, rowvar=False, bias=True))
        X = np.ascontiguousarray(axes[:, -rank:].T)
        expected = naive_scores(members, np.zeros(len(members), int), X)[:, 0]
        np.testing.assert_allclose(
            router.predict_partitions(X)[:, j], expected, rtol=1e-5
        )


def test_more_axes_come_closer_to_the_formula(log, fit):
    full = fit(rank=None).predict_partitions(log.test)
    errors = [
        np.square(fit(rank=rank).predict_partitions(log.test) - full).mean()
        for rank in (1, 4, 8, D)
    ]
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 1e-12


def test_no_optimism_is_the_centroid_router(log, fit):
    centroid = CentroidRouter(log.keys, n_partitions=20, random_state=0).fit(log.train)
    np.testing.assert_allclose(
        fit(optimism=0).predict_partitions(log.test),
        centroid.predict_partitions(log.test),
        rtol=1e-10,
        atol=1e-10,
    )


def test_optimism_is_a_factor_of_the_spread(log, fit):
    none, one, three = (
        fit(optimism=o).predict_partitions(log.test) for o in (0, 1, 3.0)
    )
    assert (one > none).all()
    np.testing.assert_allclose(three - none, 3 * (one - none))


@pytest.fixture(scope="module")
def routers(log):
    return [
        OptimisticRouter(log.keys, n_partitions=6, rank=rank).fit(log.train)
        for rank in (2, None)
    ]


@given(seed=st.integers(0, 2**16), share=st.floats(0, 1), factor=st.floats(1e-6, 1e6))
def test_scores_are_convex_and_homogeneous(routers, seed, share, factor):
    start, end = np.random.default_rng(seed).normal(size=(2, 5, D))
    for router in routers:
        at_start, at_end = (
            router.predict_partitions(start),
            router.predict_partitions(end),
        )
        between = router.predict_partitions(share * start + (1 - share) * end)
        assert (between <= share * at_start + (1 - share) * at_end + 1e-10).all()
        np.testing.assert_allclose(
            router.predict_partitions(factor * start), factor * at_start, rtol=1e-9
        )


def test_lists_of_one_key_and_of_equal_keys(log, fit):
    """Neither has a spread."""
    keys = np.r_[log.keys[:3], np.repeat(log.keys[3:5], 4, axis=0)]
    labels = np.r_[0, 1, 2, np.repeat([3, 4], 4)]
    scores = fit(keys=keys, partition=labels).predict_partitions(log.test)
    np.testing.assert_allclose(scores, log.test @ log.keys[:5].T, atol=1e-5)


def test_keys_of_one_feature(rng):
    keys = rng.normal(size=(50, 1))
    router = OptimisticRouter(keys, partition=np.arange(50) % 2).fit(keys)
    np.testing.assert_allclose(
        router.predict_partitions(keys),
        naive_scores(keys, np.arange(50) % 2, keys),
        atol=1e-6,
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("p", [1, 3])
def test_beats_centroids_where_lists_are_long_in_some_directions(seed, p):
    rng = np.random.default_rng(seed)
    labels = rng.integers(20, size=2000)
    spread = np.exp(rng.normal(size=(20, D)))
    keys = rng.normal(size=(20, D))[labels] + spread[labels] * rng.normal(
        size=(2000, D)
    )
    queries = rng.normal(size=(500, D))
    recall = routing_recall_scorer(p)
    params = {"keys": keys, "partition": labels}
    centroids = recall(CentroidRouter(**params).fit(queries), queries)
    assert recall(OptimisticRouter(**params).fit(queries), queries) > centroids + 0.1


@pytest.mark.parametrize("params", [{"rank": 0}, {"rank": 1.5}, {"optimism": -1}])
def test_bad_parameters(fit, params):
    with pytest.raises(ValueError, match=f"'{next(iter(params))}' parameter"):
        fit(**params)
