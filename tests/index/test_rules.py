from types import SimpleNamespace

import numpy as np
import pytest

from sk_amips.index._bounds import ListBounds
from sk_amips.index._rules import Budget, FixedProbes, ScoreStop, bar, first_lists
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
    rule = ScoreStop(share=1.0, band=0.1, margin=0.2)
    first = rule.first(scores)
    np.testing.assert_array_equal(first, [[1, 1], [1, 0], [0, 1]])
    kth = np.array([0.6, 0.2], dtype=np.float32)
    then = rule.then(SimpleNamespace(scores=scores, kth=kth))
    np.testing.assert_array_equal(then, [[1, 1], [1, 1], [0, 1]])
    assert ScoreStop(1.0, 0.1).is_one_round
    assert ScoreStop(1.0, 0.1).then(None) is None


def test_bar_between_the_mean_and_the_best():
    scores = np.array([[0.9, 0.4], [0.6, 0.2], [0.3, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(bar(scores, 1.0), [0.9, 0.4])
    np.testing.assert_allclose(bar(scores, 0.5), [0.75, 0.3], rtol=1e-6)
    np.testing.assert_allclose(bar(scores, 0.0), [0.6, 0.2], rtol=1e-6)
    # In the units of any router.
    moved = bar(7 * scores - 3, 0.3)
    np.testing.assert_allclose(moved, 7 * bar(scores, 0.3) - 3, rtol=1e-6)
    first = ScoreStop(share=0.5, band=0.0).first(scores)
    np.testing.assert_array_equal(first, [[1, 1], [0, 0], [0, 0]])
    # The best list is always visited, and lower bands open no other list.
    for band in (-0.2, -np.inf):
        lowest = ScoreStop(share=0.5, band=band).first(scores)
        np.testing.assert_array_equal(lowest, first)


def test_budgets():
    scores = np.array([[3.0, 1], [2, 2], [1, 3]], dtype=np.float32)
    sizes = np.array([50, 10, 5])
    lists = Budget(None, 2, None, sizes).first(scores)
    np.testing.assert_array_equal(lists, [[1, 0], [1, 1], [0, 1]])
    keys = Budget(None, None, 20, sizes).first(scores)
    # The first list is visited, whatever it costs.
    np.testing.assert_array_equal(keys, [[1, 0], [0, 1], [0, 1]])
    both = Budget(ScoreStop(1.0, 0.0, np.inf), 2, 60, sizes)
    np.testing.assert_array_equal(both.first(scores), [[1, 0], [0, 0], [0, 1]])
    assert not both.is_one_round
    then = both.then(SimpleNamespace(scores=scores, kth=np.zeros(2)))
    np.testing.assert_array_equal(then, [[1, 0], [1, 1], [0, 1]])
    fixed = Budget(FixedProbes(1), 2, None, sizes)
    assert fixed.is_one_round
    assert fixed.then(None) is None


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
