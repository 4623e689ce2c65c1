from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.learnability import MissingMass


def unseen(best, groups, n_groups):
    """Missing mass of each query's group after any ``n_groups`` others, by counting."""
    shares = []
    for query, group in enumerate(groups):
        others = np.setdiff1d(groups, group)
        for some in combinations(others, n_groups):
            shares.append(best[query] not in best[np.isin(groups, some)])
    return np.mean(shares)


logs = st.integers(2, 6).flatmap(
    lambda n_groups: st.tuples(
        st.lists(st.integers(0, 5), min_size=n_groups, max_size=10),
        st.just(n_groups),
        st.integers(0, 2**16),
    )
)


def as_log(log):
    """Best keys and groups, none of which is empty."""
    best, n_groups, seed = log
    groups = np.arange(len(best)) % n_groups
    return np.array(best), np.random.default_rng(seed).permutation(groups)


@given(logs)
def test_is_the_mean_over_all_samples_of_groups(log):
    best, groups = as_log(log)
    wins = MissingMass(best, groups)
    n_groups = np.arange(wins.n_groups)
    expected = [unseen(best, groups, t) for t in n_groups]
    np.testing.assert_allclose(wins(n_groups), expected, atol=1e-12)


@given(logs)
def test_shares(log):
    best, groups = as_log(log)
    wins = MissingMass(best, groups)
    assert wins.n_queries == len(best)
    assert wins.n_groups == len(set(groups))
    assert wins.n_winners == len(set(best))
    assert wins.share.sum() == pytest.approx(1)
    for count, share in zip(wins.count, wins.share, strict=True):
        of = [len(set(groups[best == key])) == count for key in best]
        assert share == pytest.approx(np.mean(of))


@given(logs)
def test_order_and_names_do_not_matter(log):
    best, groups = as_log(log)
    wins = MissingMass(best, groups)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(best))
    keys, names = rng.permutation(100), rng.permutation(wins.n_groups)
    other = MissingMass(keys[best][order], names[groups][order])
    assert other(wins.n_groups - 1) == pytest.approx(wins(wins.n_groups - 1))
    assert other.standard_error == pytest.approx(wins.standard_error)


@given(logs)
def test_more_queries_leave_less_unseen(log):
    wins = MissingMass(*as_log(log))
    n_groups = np.arange(wins.n_groups)
    factors = np.array([1.0, 1.5, 2.0, 4.0, 100.0])
    curve = np.r_[wins(n_groups), wins.extrapolate(factors)]
    assert curve[0] == pytest.approx(1)
    assert (np.diff(curve) <= 1e-12).all()
    assert (curve >= 0).all()
    assert wins.extrapolate(1.0) == pytest.approx(wins(wins.n_groups - 1))


def test_without_groups_it_is_good_and_turings(rng):
    best = rng.zipf(1.5, size=2000)
    wins = MissingMass(best)
    counts = np.unique(best, return_counts=True)[1]
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    assert wins(1999) == pytest.approx(once / 2000)
    error = np.sqrt(once * (1 - once / 2000) + 2 * twice) / 2000
    assert wins.standard_error == pytest.approx(error)


def test_copies_within_a_group_do_not_count(rng):
    best = rng.integers(0, 50, size=60)
    alone = MissingMass(best)
    copied = MissingMass(np.repeat(best, 3), np.repeat(np.arange(60), 3))
    assert copied(59) == pytest.approx(alone(59))
    assert copied.standard_error == pytest.approx(alone.standard_error)
    assert MissingMass(np.repeat(best, 3))(179) == 0


def zipf_log(n_groups, seed):
    """Groups of queries with neighbouring best keys, and the share of each key."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, 2001)
    share /= share.sum()
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 5, size=n_groups))
    topic = rng.choice(2000, size=n_groups, p=share)[groups]
    best = (topic + rng.integers(0, 3, size=len(groups))) % 2000
    return best, groups, sum(np.roll(share, i) for i in range(3)) / 3


@pytest.mark.parametrize("grouped", [True, False])
def test_known_missing_mass(grouped):
    """Right on average with the groups, and too low without."""
    errors, standard = [], []
    for seed in range(200):
        best, groups, share = zipf_log(300, seed)
        wins = MissingMass(best, groups if grouped else None)
        truth = share.sum() - share[np.unique(best)].sum()
        errors.append(wins(wins.n_groups - 1) - truth)
        standard.append(wins.standard_error)
    if not grouped:
        assert np.mean(errors) < -0.1
        return
    assert abs(np.mean(errors)) < 0.005
    covered = np.abs(errors) < 1.96 * np.array(standard)
    assert 0.9 < covered.mean() <= 1
    assert np.mean(standard) == pytest.approx(np.std(errors), rel=0.2)


def test_nothing_and_everything_unseen():
    assert MissingMass(np.arange(30))(29) == 1
    np.testing.assert_array_equal(MissingMass(np.arange(30)).extrapolate([2, 4]), 1)
    same = MissingMass(np.zeros(30, dtype=int))
    np.testing.assert_array_equal(same([0, 1, 29]), [1, 0, 0])
    np.testing.assert_array_equal(same.extrapolate([2, 4]), 0)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_part_foretells_what_all_leave_unseen(factor):
    """Of Zipf's law, in the mean over samples, and nearer than going on as before."""
    share = 1 / np.arange(1, 20_001)
    off, same = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        best = rng.choice(20_000, size=16_000, p=share / share.sum())
        truth = MissingMass(best)(15_999)
        part = MissingMass(best[: 16_000 // factor])
        off.append(part.extrapolate(factor) - truth)
        same.append(part(part.n_groups - 1) - truth)
    assert abs(np.mean(off)) < 0.01 * factor
    assert np.mean(same) > 5 * abs(np.mean(off))
