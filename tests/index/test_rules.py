import numpy as np
import pytest

from sk_amips.index._bounds import ListBounds
from sk_amips.index._rules import Budget, FixedProbes, ScoreStop, first_lists
from sk_amips.partition import as_partition


@pytest.mark.parametrize("n", [1, 3, 8, 20])
def test_first_lists(rng, n):
    scores = rng.integers(5, size=(8, 40)).astype(np.float32)  # with ties
    mask = first_lists(scores, n)
    order = np.argsort(-scores, axis=0, kind="stable")[:n]
    expected = np.zeros_like(mask)
    np.put_along_axis(expected, order, True, axis=0)
    np.testing.assert_array_equal(mask, expected)


def test_score_stop_opens_a_band_and_what_could_do_better():
    scores = np.array([[0.9, 0.5], [0.85, 0.1], [0.3, 0.49]], dtype=np.float32)
    rule = ScoreStop(band=0.1, margin=0.2)
    first = rule.first(scores)
    np.testing.assert_array_equal(first, [[1, 1], [1, 0], [0, 1]])
    kth = np.array([0.6, 0.2], dtype=np.float32)
    then = rule.then(scores, None, kth, None)
    np.testing.assert_array_equal(then, [[1, 1], [1, 1], [0, 1]])
    assert ScoreStop(0.1, -np.inf).then(scores, None, kth, None) is None


def test_budgets():
    scores = np.array([[3.0, 1], [2, 2], [1, 3]], dtype=np.float32)
    sizes = np.array([50, 10, 5])
    lists = Budget(None, 2, None, sizes).first(scores)
    np.testing.assert_array_equal(lists, [[1, 0], [1, 1], [0, 1]])
    keys = Budget(None, None, 20, sizes).first(scores)
    # The first list is visited, whatever it costs.
    np.testing.assert_array_equal(keys, [[1, 0], [0, 1], [0, 1]])
    both = Budget(ScoreStop(0.0, np.inf), 2, 60, sizes)
    np.testing.assert_array_equal(both.first(scores), [[1, 0], [0, 0], [0, 1]])
    then = both.then(scores, None, np.zeros(2), None)
    np.testing.assert_array_equal(then, [[1, 0], [1, 1], [0, 1]])
    assert Budget(FixedProbes(1), 2, None, sizes).then(scores, None, None, None) is None


@pytest.mark.parametrize("spread", [0.01, 0.3, 3.0])
def test_bounds_hold(rng, spread):
    centers = rng.normal(size=(6, 9))
    labels = np.arange(400) % 6
    keys = centers[labels] + spread * rng.normal(size=(400, 9))
    if spread > 0.01:
        keys *= rng.uniform(0.1, 5, size=(400, 1))
    partition = as_partition(keys, labels)
    unit = rng.normal(size=(300, 9))
    unit[:50] = keys[:50]
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    bounds = ListBounds(keys, partition)(unit)
    scores = unit.astype(float) @ keys.T
    for j in range(6):
        best = scores[:, partition.members(j)].max(axis=1)
        assert (bounds[j] >= best).all()
        if spread == 0.01:  # of use
            assert (bounds[j] - best).mean() < 0.1 * np.abs(best).mean()
