from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_amips import exact_search
from sk_amips.metrics import match_rate, mean_reciprocal_rank, recall_at_k

# --- match rate


@pytest.mark.parametrize(
    ("true", "found", "expected"),
    [
        ([1.0, 2.0, -1.0], [1.0, 2.0, -1.0], 1.0),
        ([1.0, 2.0, -1.0], [0.9, 1.9, -1.1], 0.0),
        ([1.0, 2.0, -1.0], [1.0, 1.5, -1.0], 2 / 3),
        ([5.0], [5.0], 1.0),
        ([0.0, 0.0], [0.0, -1e-9], 0.5),
        ([1.0, 1.0], [-np.inf, 1.0], 0.5),
    ],
)
def test_match_rate(true, found, expected):
    rate = match_rate(true, found)
    assert type(rate) is float
    assert rate == pytest.approx(expected)


def test_match_rate_looks_at_the_first_column():
    true = [[3.0, 2.0], [3.0, 2.0]]
    assert match_rate(true, [[3.0, 0.0], [2.0, 3.0]]) == 0.5
    assert match_rate(true, [3.0, 3.0]) == 1.0


@pytest.mark.parametrize("size", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("sign", [-1, 1])
def test_match_rate_up_to_a_millionth(size, sign):
    true = np.full(2, sign * size)
    found = true - size * np.array([5e-7, 2e-6])
    assert match_rate(true, found) == 0.5


def test_tolerance():
    """Keys far from zero: half of the scores is what all have in common."""
    true, wrong = [[-1e6, -1e6 - 0.1]], [[-1e6 - 0.5, -1e6 - 0.7]]
    found = wrong, [[4, 7]]
    assert match_rate(true, wrong) == recall_at_k(true, *found) == 1
    assert mean_reciprocal_rank(true, *found) == 1
    assert match_rate(true, wrong, tol=0) == recall_at_k(true, *found, tol=1e-9) == 0
    assert mean_reciprocal_rank(true, *found, tol=0.0) == 0
    assert match_rate([1.0], [0.91], tol=0.1) == 1
    with pytest.raises(ValueError, match="tol == -1"):
        match_rate([1.0], [0.91], tol=-1)


def test_match_rate_weights():
    true, found = [1.0, 1.0, 1.0], [1.0, 0.0, 1.0]
    assert match_rate(true, found, sample_weight=[1, 2, 1]) == 0.5
    assert match_rate(true, found, sample_weight=[0, 1, 0]) == 0.0


def test_match_rate_lengths_differ():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        match_rate([1.0, 2.0], [1.0])


# --- recall at k


@pytest.mark.parametrize(
    ("true", "found", "indices", "expected"),
    [
        pytest.param([[3, 2, 1]], [[3, 2, 1]], [[7, 4, 5]], 1.0, id="all"),
        pytest.param([[3, 2, 1]], [[3, 1, 0]], [[7, 5, 6]], 2 / 3, id="some"),
        pytest.param([[3, 2, 1]], [[0, 0, 0]], [[8, 9, 6]], 0.0, id="none"),
        pytest.param([[3, 2, 1]], [[1, 2, 3]], [[5, 4, 7]], 1.0, id="any order"),
        pytest.param([[3, 3]], [[3, 3]], [[8, 9]], 1.0, id="ties are hits"),
        pytest.param([[3, 2]], [[2, 2]], [[8, 9]], 1.0, id="ties with the k-th"),
        pytest.param([[3, 2]], [[3, 3]], [[7, 7]], 0.5, id="a key counts once"),
        pytest.param([[3, 2, 2]], [[3, 3, 2]], [[7, 7, 5]], 2 / 3, id="once"),
        pytest.param([[3, 2]], [[3, -np.inf]], [[7, -1]], 0.5, id="padding"),
        pytest.param([[3, 2]], [[3, 3]], [[7, -1]], 0.5, id="-1 never counts"),
        pytest.param([[3, 2]], [[3, 3]], [[-1, -1]], 0.0, id="-1 only"),
        pytest.param([[-1, -2]], [[-1, -3]], [[7, 4]], 0.5, id="negative scores"),
    ],
)
def test_recall(true, found, indices, expected):
    recall = recall_at_k(true, found, indices)
    assert type(recall) is float
    assert recall == pytest.approx(expected)


def test_recall_of_each_query():
    recall = recall_at_k(
        [[3, 2], [3, 2], [3, 2]],
        [[3, 2], [3, 1], [0, 0]],
        [[1, 2], [1, 3], [4, 5]],
        average=False,
    )
    np.testing.assert_array_equal(recall, [1, 0.5, 0])


def test_recall_at_fewer_than_all_columns():
    true, found, indices = [[3, 2, 1]], [[3, 1, 2]], [[7, 5, 4]]
    assert recall_at_k(true, found, indices, k=1) == 1.0
    assert recall_at_k(true, found, indices, k=2) == 0.5
    assert recall_at_k(true, found, indices, k=3) == 1.0
    # More true scores than keys returned.
    assert recall_at_k(true, [[3, 1]], [[7, 5]]) == 0.5


def test_recall_up_to_a_millionth():
    found = [[1.0, 0.5 - 2e-7], [1.0, 0.5 - 1e-6]]
    recall = recall_at_k([[1.0, 0.5]] * 2, found, [[1, 2]] * 2, average=False)
    np.testing.assert_array_equal(recall, [1, 0.5])


@given(k=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_recall_is_that_of_the_sets(k, seed):
    """Without ties, recall is the overlap of the two sets of keys."""
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(8.0), (5, 1)), axis=1)
    order = np.argsort(-scores, axis=1)[:, :k]
    found = rng.permuted(np.tile(np.arange(8), (5, 1)), axis=1)[:, :k]
    recall = recall_at_k(
        np.take_along_axis(scores, order, 1),
        np.take_along_axis(scores, found, 1),
        found,
        average=False,
    )
    overlap = [len(set(a) & set(b)) / k for a, b in zip(order, found, strict=True)]
    np.testing.assert_allclose(recall, overlap)


def test_recall_of_exact_search_with_duplicate_keys(rng):
    """Any of the copies is as good."""
    keys = np.repeat(rng.normal(size=(10, 3)), 4, axis=0)
    queries = rng.normal(size=(20, 3))
    true, indices = exact_search(keys, queries, 2)
    assert recall_at_k(true, true, indices) == 1.0
    assert recall_at_k(true, true, indices + 2) == 1.0


@pytest.mark.parametrize("short", ["true_scores", "found_scores", "found_indices"])
def test_recall_needs_k_columns(short):
    arrays = {
        name: np.ones((2, 2 if name == short else 3), dtype=int)
        for name in ("true_scores", "found_scores", "found_indices")
    }
    with pytest.raises(ValueError, match=rf"{short} must have at least k=3 columns"):
        recall_at_k(**arrays, k=3)


def test_recall_lengths_differ():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        recall_at_k([[1.0]], [[1.0]], [[1], [2]])


# --- mean reciprocal rank


@pytest.mark.parametrize(
    ("true", "found", "indices", "expected"),
    [
        pytest.param([3], [[3, 2, 1]], [[7, 4, 5]], 1.0, id="first"),
        pytest.param([3], [[1, 2, 3]], [[5, 4, 7]], 1 / 3, id="third"),
        pytest.param([3], [[2, 1, 0]], [[4, 5, 6]], 0.0, id="not there"),
        pytest.param([3], [[2, 3, 3]], [[4, 7, 8]], 1 / 2, id="the first of ties"),
        pytest.param([3], [[3, 3]], [[-1, 7]], 1 / 2, id="-1 never counts"),
        pytest.param([3], [[3, 3]], [[-1, -1]], 0.0, id="-1 only"),
        pytest.param([3], [[2, 2, 3]], [[4, 4, 7]], 1 / 3, id="repeats take places"),
        pytest.param([-1], [[-2, -1]], [[4, 7]], 1 / 2, id="negative scores"),
        pytest.param([[3, 2, 1]], [[2, 3]], [[4, 7]], 1 / 2, id="columns differ"),
        pytest.param([3, 3], [[3, 0], [0, 3]], [[7, 4], [4, 7]], 3 / 4, id="mean"),
    ],
)
def test_reciprocal_rank(true, found, indices, expected):
    rank = mean_reciprocal_rank(true, found, indices)
    assert type(rank) is float
    assert rank == pytest.approx(expected)


def test_reciprocal_rank_within_k():
    true, found, indices = [3.0, 3.0], [[2, 3, 1], [3, 1, 2]], [[4, 7, 5], [7, 5, 4]]
    ranks = mean_reciprocal_rank(true, found, indices, average=False)
    np.testing.assert_array_equal(ranks, [0.5, 1.0])
    assert mean_reciprocal_rank(true, found, indices, k=2) == 0.75
    assert mean_reciprocal_rank(true, found, indices, k=1) == 0.5


def test_reciprocal_rank_up_to_a_millionth():
    found = [[0.0, 1 - 5e-7], [0.0, 1 - 2e-6]]
    ranks = mean_reciprocal_rank([1.0, 1.0], found, [[1, 2]] * 2, average=False)
    np.testing.assert_array_equal(ranks, [0.5, 0])


@pytest.mark.parametrize("short", ["found_scores", "found_indices"])
def test_reciprocal_rank_needs_k_columns(short):
    arrays = {"true_scores": np.ones(2)} | {
        name: np.ones((2, 2 if name == short else 3), dtype=int)
        for name in ("found_scores", "found_indices")
    }
    with pytest.raises(ValueError, match=rf"{short} must have at least k=3 columns"):
        mean_reciprocal_rank(**arrays, k=3)


# --- all of them


@pytest.mark.parametrize("metric", [recall_at_k, mean_reciprocal_rank])
def test_k_is_a_number_of_keys(metric):
    with pytest.raises(ValueError, match="k == 0"):
        metric([[1.0]], [[1.0]], [[1]], k=0)


def draw(n, n_keys, k, seed):
    """Scores with ties of n_keys keys, and k distinct ones returned in any order."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 4, size=(n, n_keys)).astype(float)
    found = rng.permuted(np.tile(np.arange(n_keys), (n, 1)), axis=1)[:, :k]
    return -np.sort(-scores, axis=1), np.take_along_axis(scores, found, 1), found


sizes = {
    "n": st.integers(1, 20),
    "n_keys": st.integers(6, 9),
    "k": st.integers(1, 6),
    "seed": st.integers(0, 2**16),
}


@given(**sizes)
def test_bounds_and_order_of_metrics(n, n_keys, k, seed):
    answers = draw(n, n_keys, k, seed)
    rate = match_rate(*answers[:2])
    ranks = [mean_reciprocal_rank(*answers, k=j) for j in range(1, k + 1)]
    assert ranks[0] == rate
    assert (np.diff(ranks) >= 0).all()
    assert 0 <= rate <= ranks[-1] <= 1
    for metric in (recall_at_k, mean_reciprocal_rank):
        each = metric(*answers, average=False)
        assert each.shape == (n,)
        assert ((each >= 0) & (each <= 1)).all()
        assert metric(*answers) == pytest.approx(each.mean())
    # Found anywhere means a reciprocal rank of at least 1 / k.
    found = (answers[1] >= answers[0][:, :1]).any(axis=1).mean()
    assert found / k <= ranks[-1] + 1e-12 <= found + 2e-12


@given(**sizes)
def test_queries_can_come_in_any_order_and_repeat(n, n_keys, k, seed):
    """A weight is worth as many repetitions."""
    true, scores, found = draw(n, n_keys, k, seed)
    rng = np.random.default_rng(seed)
    weight = rng.integers(3, size=n) + (np.arange(n) == 0)
    rows = rng.permutation(np.repeat(np.arange(n), weight))
    for metric in (recall_at_k, mean_reciprocal_rank):
        weighted = metric(true, scores, found, sample_weight=weight)
        assert weighted == pytest.approx(metric(true[rows], scores[rows], found[rows]))
    weighted = match_rate(true, scores, sample_weight=weight)
    assert weighted == pytest.approx(match_rate(true[rows], scores[rows]))


@given(**sizes)
def test_recall_does_not_depend_on_the_order_of_what_is_returned(n, n_keys, k, seed):
    true, scores, found = draw(n, n_keys, k, seed)
    places = np.random.default_rng(seed).permutation(k)
    recall = recall_at_k(true, scores[:, places], found[:, places], average=False)
    np.testing.assert_array_equal(
        recall, recall_at_k(true, scores, found, average=False)
    )


@pytest.mark.parametrize("weight", [[1.0, -1.0], [0.0, 0.0], [1.0, np.nan], [1.0]])
def test_weights_that_mean_nothing(weight):
    for metric in (recall_at_k, mean_reciprocal_rank):
        with pytest.raises(ValueError, match="weight"):
            metric([[1.0]] * 2, [[1.0]] * 2, [[1]] * 2, sample_weight=weight)
    with pytest.raises(ValueError, match="weight"):
        match_rate([1.0] * 2, [1.0] * 2, sample_weight=weight)


def test_metrics_grow_with_the_quality_of_the_answer(rng):
    keys, queries = rng.normal(size=(50, 4)), rng.normal(size=(200, 4))
    true, _ = exact_search(keys, queries, 5)
    values = []
    for noise in (3.0, 0.3, 0.0):
        _, found = exact_search(keys, queries + noise * rng.normal(size=(200, 4)), 5)
        scores = np.einsum("nkd,nd->nk", keys[found], queries)
        values.append((match_rate(true, scores), recall_at_k(true, scores, found)))
    assert values[-1] == (1.0, 1.0)
    assert all(np.less(*pair).all() for pair in pairwise(values))


@pytest.mark.parametrize("metric", [recall_at_k, mean_reciprocal_rank])
def test_what_is_no_answer(metric):
    with pytest.raises(ValueError, match="'average' parameter"):
        metric([[1.0]], [[1.0]], [[1]], average="none")
    with pytest.raises(ValueError, match="found_indices must be integers"):
        metric([[1.0, 0.5]], [[1.0, 0.5]], [[0.9, 0.2]])
    with pytest.raises(ValueError, match="true_scores contains NaN"):
        metric([[np.nan]], [[1.0]], [[1]])
    assert metric([[1.0]], [[1.0]], [[3.0]]) == 1
