import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.index._found import Candidates, best_of, by_query, kth_largest


@given(
    n=st.integers(1, 30),
    n_pairs=st.integers(0, 400),
    k=st.integers(1, 12),
    skew=st.booleans(),
    seed=st.integers(0, 99),
)
def test_kth_largest_and_best(n, n_pairs, k, skew, seed):
    rng = np.random.default_rng(seed)
    query = rng.integers(n, size=n_pairs)
    if skew:
        query[: n_pairs * 2 // 3] = 0
    score = rng.integers(-5, 5, size=n_pairs).astype(np.float32)
    key = rng.permutation(n_pairs)
    scores, indices = best_of(query, key, score, k, n)
    kth = kth_largest(query, score, k, n)
    for i in range(n):
        mine = query == i
        order = np.lexsort((key[mine], -score[mine]))[:k]
        found = len(order)
        np.testing.assert_array_equal(indices[i, :found], key[mine][order])
        np.testing.assert_array_equal(scores[i, :found], score[mine][order])
        assert (indices[i, found:] == -1).all()
        assert np.isneginf(scores[i, found:]).all()
        assert kth[i] == (scores[i, k - 1] if found >= k else -np.inf)


def test_by_query_keeps_the_order_of_pairs():
    query = np.array([2, 0, 2, 0, 2])
    (rows,) = by_query(query, 3, 1, (np.arange(5), -1))
    np.testing.assert_array_equal(rows, [[1, 3, -1], [-1, -1, -1], [0, 2, 4]])


def test_candidates_that_may_be_best_are_kept():
    pairs = Candidates(
        np.zeros(4, dtype=int),
        np.arange(4),
        np.array([1.0, 0.9, 0.6, 0.4], dtype=np.float32),
        np.full(4, 0.1, dtype=np.float32),
    )
    least = np.array([-np.inf], dtype=np.float32)
    kept = pairs.k_best(least, 1)
    np.testing.assert_array_equal(kept.key, [0, 1])
    assert least == pytest.approx(0.9)
    np.testing.assert_array_equal(kept.add(Candidates.empty()).key, [0, 1])
    np.testing.assert_array_equal(Candidates.empty().add(kept).key, [0, 1])
