"""The generator does what its parameters say."""

import numpy as np
import pytest

from sk_amips import exact_search
from sk_amips.datasets import make_mips_problem


def problem(**params):
    return make_mips_problem(800, 1500, 16, random_state=0, **params)


def winners(log):
    return np.unique(exact_search(log.keys, log.queries)[1]).size


@pytest.mark.parametrize(("n_queries", "per_group"), [(60, 1), (61, 3), (5, 10)])
def test_shapes_and_groups(n_queries, per_group):
    log = make_mips_problem(
        50, n_queries, 4, queries_per_group=per_group, random_state=1
    )
    keys, queries, groups = log
    assert keys.shape == (50, 4)
    assert queries.shape == (n_queries, 4)
    assert keys.dtype == queries.dtype == np.float32
    assert np.bincount(groups).max() <= per_group
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-6)


def test_random_state():
    one, same = problem(), problem()
    other = make_mips_problem(800, 1500, 16, random_state=1)
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_queries_of_a_group_are_near_one_another():
    log = problem()
    order = np.argsort(log.groups, kind="stable")
    pairs = log.queries[order].reshape(-1, 2, 16)
    within = (pairs[:, 0] * pairs[:, 1]).sum(axis=1).mean()
    between = (pairs[:-1, 0] * pairs[1:, 1]).sum(axis=1).mean()
    assert within > between + 0.5


def test_shift_takes_queries_away_from_keys():
    best = [
        exact_search(log.keys, log.queries)[0].mean()
        for log in (problem(shift=s) for s in (0, 0.3, 0.6, 1))
    ]
    assert (np.diff(best) < 0).all()


def test_noise_takes_queries_away_from_their_key():
    best = [
        exact_search(log.keys, log.queries)[0].mean()
        for log in (problem(query_noise=noise) for noise in (0, 0.3, 0.6, 1))
    ]
    assert best[0] == pytest.approx(1)
    assert (np.diff(best) < 0).all()


def test_popularity_leaves_fewer_winners():
    n = [winners(problem(popularity=p)) for p in (0, 0.7, 1.4)]
    assert n[0] > n[1] > n[2]


def test_norm_spread():
    log = problem(norm_spread=0.5)
    logs = np.log(np.linalg.norm(log.keys, axis=1))
    assert logs.std() == pytest.approx(0.5, rel=0.1)
    assert winners(log) < winners(problem())
    with pytest.raises(ValueError, match="norm_spread must leave norms within"):
        problem(norm_spread=200)
    assert np.isfinite(problem(norm_spread=5).keys).all()


def test_effective_rank():
    spectra = [
        np.linalg.svd(problem(effective_rank=r).keys, compute_uv=False)
        for r in (2, 4, 8, None)
    ]
    largest = [s[:2].sum() / s.sum() for s in spectra]
    assert (np.diff(largest) < 0).all()


@pytest.mark.parametrize(
    "params", [{"shift": 1.1}, {"n_keys": 0}, {"popularity": -1}, {"n_features": 1}]
)
def test_wrong_parameters(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        make_mips_problem(**params)
