"""Ranking: what a key is worth, and what a log says that it has not seen."""

import numpy as np
import pytest

from sk_amips.compression._ranking import Ranking


def zipf_log(n, n_keys, rng, m=4):
    """Best keys of queries: Zipf's winners, and others behind them."""
    law = 1 / np.arange(1, n_keys + 1)
    first = rng.choice(n_keys, size=n, p=law / law.sum())
    behind = np.argsort(rng.random((n, n_keys)), axis=1)
    behind = behind[behind != first[:, None]].reshape(n, -1)
    return np.column_stack([first, behind[:, : m - 1]])


def brute_force(best, weight, prior, k, row):
    """Places of the best keys of a row in an order made without it."""
    keep = np.arange(len(best)) != row
    other = Ranking(
        best[keep], np.arange(keep.sum()), weight[keep], prior, k
    ).order.tolist()
    return [other.index(key) for key in best[row, :k]]


@pytest.mark.parametrize("k", [1, 3])
def test_places_are_those_without_the_query(k):
    rng = np.random.default_rng(0)
    best = zipf_log(60, 40, rng)
    prior, weight = rng.normal(size=40), np.ones(60)
    ranking = Ranking(best, np.arange(60), weight, prior, k)
    expected = [brute_force(best, weight, prior, k, row) for row in range(60)]
    np.testing.assert_array_equal(ranking.ahead, expected)


def test_thirds_make_a_whole():
    """Three third places are worth a first, and then the prior decides."""
    best = np.array([[0, 3, 1], [0, 4, 1], [0, 5, 1], [2, 6, 7]])
    prior = np.array([0, 9, 1, 0, 0, 0, 0, 0])
    ranking = Ranking(best, np.arange(4), np.ones(4), prior, 1)
    assert ranking.order[:3].tolist() == [0, 1, 2]


@pytest.mark.parametrize("scale", [1e-305, 1e-12, 1e12, 1e303])
def test_the_scale_of_weights_says_nothing(scale):
    rng = np.random.default_rng(4)
    best, weight = zipf_log(60, 40, rng), rng.random(60) + 0.1
    groups, prior = np.arange(60), rng.normal(size=40)
    ranking = Ranking(best, groups, weight, prior, 1)
    scaled = Ranking(best, groups, weight * scale, prior, 1)
    np.testing.assert_array_equal(scaled.ahead, ranking.ahead)
    assert scaled.standard_error(9) == pytest.approx(ranking.standard_error(9))


def test_the_least_weight_counts():
    best = np.array([[0], [1], [2]])
    ranking = Ranking(best, np.arange(3), np.array([1e20, 1, 0.5]), np.zeros(4), 1)
    assert ranking.order.tolist() == [0, 1, 2, 3]


def test_ties_hold_at_weights_far_apart():
    """Where nothing but a query's own group is behind a key, the prior decides."""
    rng = np.random.default_rng(3)
    best = zipf_log(60, 40, rng)
    prior, weight = rng.normal(size=40), 10.0 ** rng.integers(0, 10, size=60)
    ranking = Ranking(best, np.arange(60), weight, prior, 2)
    expected = [brute_force(best, weight, prior, 2, row) for row in range(60)]
    np.testing.assert_array_equal(ranking.ahead, expected)


def test_order():
    best = np.array([[3, 1], [3, 2], [1, 0]])
    ranking = Ranking(best, np.arange(3), np.ones(3), np.array([0, 0, 1, 0, 5, 9]), 1)
    # Worth 2, 1.5, two times 0.5, and nothing twice: the prior decides.
    assert ranking.order.tolist() == [3, 1, 2, 0, 5, 4]


def test_weights_are_repetitions_of_one_group():
    rng = np.random.default_rng(1)
    best, groups = zipf_log(50, 30, rng), np.arange(50)
    weight, prior = rng.integers(1, 4, size=50), rng.normal(size=30)
    weighted = Ranking(best, groups, weight.astype(float), prior, 1)
    rows = np.repeat(np.arange(50), weight)
    repeated = Ranking(best[rows], groups[rows], np.ones(len(rows)), prior, 1)
    np.testing.assert_array_equal(weighted.order, repeated.order)
    sizes = np.arange(31)
    np.testing.assert_allclose(weighted.recall(sizes), repeated.recall(sizes))
    assert weighted.standard_error(9) == pytest.approx(repeated.standard_error(9))


def test_recall_and_its_inverse():
    rng = np.random.default_rng(2)
    ranking = Ranking(
        zipf_log(200, 50, rng), np.arange(200), np.ones(200), np.zeros(50), 1
    )
    curve = ranking.recall(np.arange(51))
    assert curve[0] == 0
    assert curve[50] == 1
    assert (np.diff(curve) >= 0).all()
    for target in (0.3, 0.8, 1.0):
        n = ranking.n_kept(target)
        assert curve[n] >= target > curve[n - 1]


def test_the_estimate_is_right_on_new_queries_and_groups():
    """In the mean over many logs; a log that judges itself is far too sure."""
    off, own = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        best = zipf_log(1300, 400, rng, m=2)
        # Queries of a group share their best key.
        groups = np.repeat(np.arange(650), 2)
        best[1::2] = best[::2]
        log, new = slice(600), slice(600, None)
        ranking = Ranking(best[log], groups[log], np.ones(600), rng.random(400), 1)
        kept = ranking.order[:80]
        truth = np.isin(best[new, 0], kept).mean()
        off.append(ranking.recall(80) - truth)
        own.append(np.isin(best[log, 0], kept).mean() - truth)
    error = np.std(off) / 40**0.5
    assert abs(np.mean(off)) < 3 * error + 0.005
    assert np.mean(own) > 0.05


def test_standard_error_covers():
    """Estimates for one law differ by as much as the error says."""
    found, errors = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        best = zipf_log(300, 100, rng, m=2)
        ranking = Ranking(best, np.arange(300), np.ones(300), np.arange(100.0), 1)
        found.append(ranking.recall(30))
        errors.append(ranking.standard_error(30))
    few = Ranking(best[:3], np.arange(3), np.ones(3), np.arange(100.0), 1)
    kept = few.ahead[:, 0] < 80
    assert 0 < kept.sum() < 3
    expected = np.std(kept, ddof=1) / 3**0.5
    assert few.standard_error(80) == pytest.approx(expected)
    assert 0.6 < np.std(found) / np.mean(errors) < 1.4
