import numpy as np
import pytest

from sk_amips.index._placement import _grown, _Moves, capacity, place


def touched(visits, shards):
    """Mean number of shards, counted query by query."""
    return np.mean([len(set(shards[column])) for column in visits.T])


def communities(rng, n_lists, n_shards, n=600):
    """Visits that mostly stay within groups of lists that no order shows."""
    group = rng.permutation(np.arange(n_lists) % n_shards)
    topic = rng.integers(n_shards, size=n)
    likely = np.where(group[:, None] == topic, 0.5, 0.03)
    return rng.uniform(size=likely.shape) < likely, group


@pytest.mark.parametrize("n_shards", [1, 2, 7, 40])
@pytest.mark.parametrize("skew", [0.0, 1.5])
def test_balanced_and_none_empty(rng, n_shards, skew):
    visits, _ = communities(rng, 40, max(2, n_shards // 2))
    sizes = 1 + np.round(50 * np.exp(skew * rng.normal(size=40))).astype(np.int64)
    shards = place(visits, sizes, n_shards, np.random.RandomState(0))
    assert shards.dtype == np.int64
    np.testing.assert_array_equal(np.unique(shards), np.arange(n_shards))
    loads = np.bincount(shards, sizes)
    assert loads.max() <= capacity(sizes, n_shards)
    # What no placement of whole lists can be below, and the largest first never misses
    # by more than a list.
    mean = sizes.sum() / n_shards
    assert capacity(sizes, n_shards) <= max(1.1 * mean, mean + sizes.max())


def test_lists_of_the_same_queries_go_together(rng):
    visits, group = communities(rng, 60, 6)
    sizes = rng.integers(90, 110, size=60)
    shards = place(visits, sizes, 6, np.random.RandomState(0))
    ideal = touched(visits, group)
    random = touched(visits, rng.permutation(group))
    assert touched(visits, shards) <= ideal + 0.05 * (random - ideal)


def test_moves_never_touch_more_and_count_what_they_do(rng):
    visits = rng.uniform(size=(50, 300)) < 0.1
    sizes = rng.integers(10, 100, size=50)
    moves = _Moves(visits, sizes, 8)
    before = touched(visits, moves.shards)
    for j in range(50):
        moves.improve(j)
        now = touched(visits, moves.shards)
        some = visits.any(axis=0)
        assert (moves.n_visits > 0).sum(axis=0)[some].mean() == pytest.approx(
            touched(visits[:, some], moves.shards)
        )
        assert now <= before + 1e-12
        before = now
        loads = np.bincount(moves.shards, sizes, minlength=8)
        np.testing.assert_array_equal(moves.loads, loads)


def test_without_visits_and_where_growing_does_not_fit(rng):
    sizes = np.array([100, 60, 60, 60, 40, 40, 1, 1])
    for n in (0, 5):
        visits = np.ones((8, n), dtype=bool)
        for n_shards in (2, 3, 8):
            shards = _grown(visits, sizes, n_shards)
            assert np.bincount(shards, sizes).max() <= capacity(sizes, n_shards)
            place(visits, sizes, n_shards, np.random.RandomState(0))


def test_the_same_every_time(rng):
    visits, _ = communities(rng, 40, 4)
    sizes = rng.integers(10, 100, size=40)
    one, two = (place(visits, sizes, 5, np.random.RandomState(3)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
