import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.metrics import keys_scanned, routing_recall

cases = {
    "n": st.integers(1, 40),
    "c": st.integers(1, 8),
    "seed": st.integers(0, 2**16),
}


def draw(n, c, seed, dtype=float):
    """Scores without ties, best lists and sizes."""
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(c), (n, 1)), axis=1).astype(dtype)
    return scores, rng.integers(c, size=n), rng.integers(1, 50, size=c)


def naive_recall(scores, best, p):
    order = np.argsort(-scores, axis=1)[:, :p]
    return np.mean([b in lists for lists, b in zip(order, best, strict=True)])


def naive_scanned(scores, best, sizes, recall):
    """Try one number of lists after the other."""
    for p in range(1, len(sizes) + 1):
        if naive_recall(scores, best, p) >= recall:
            order = np.argsort(-scores, axis=1)[:, :p]
            return np.mean([sizes[lists].sum() for lists in order]) / sizes.sum()
    return None


# --- routing recall


@given(**cases)
def test_routing_recall(n, c, seed):
    scores, best, _ = draw(n, c, seed)
    recalls = [routing_recall(scores, best, p) for p in range(1, c + 1)]
    assert type(recalls[0]) is float
    expected = [naive_recall(scores, best, p) for p in range(1, c + 1)]
    np.testing.assert_allclose(recalls, expected)
    assert recalls[-1] == 1


def test_routing_recall_of_lists():
    scores = [[0.9, 0.5, 0.7], [0.1, 0.8, 0.3]]
    assert routing_recall(scores, [0, 1], 1) == 1
    assert routing_recall(scores, [2, 1], 1) == 0.5
    assert routing_recall(scores, [2, 0], 1) == 0


# --- keys scanned


@given(**cases)
def test_keys_scanned_for_all_queries(n, c, seed):
    scores, best, sizes = draw(n, c, seed)
    share = keys_scanned(scores, best, sizes, recall=1.0)
    assert type(share) is float
    assert share == pytest.approx(naive_scanned(scores, best, sizes, 1.0))


@pytest.mark.parametrize("recall", [0.1, 0.5, 0.52, 0.75, 0.77, 0.93, 0.95, 0.99])
def test_keys_scanned_are_as_few_as_it_takes(recall):
    for seed in range(20):
        scores, best, sizes = draw(20, 8, seed)
        assert keys_scanned(scores, best, sizes, recall) == pytest.approx(
            naive_scanned(scores, best, sizes, recall)
        )


@given(recall=st.floats(0.01, 1), **cases)
def test_keys_scanned_reach_the_recall(recall, n, c, seed):
    """With lists of one key, the share tells how many lists were visited."""
    scores, best, _ = draw(n, c, seed)
    p = round(c * keys_scanned(scores, best, np.ones(c, int), recall))
    assert routing_recall(scores, best, p) >= recall


def test_keys_scanned_grows_with_the_recall():
    scores, best, sizes = draw(300, 8, 0)
    shares = [keys_scanned(scores, best, sizes, r) for r in (0.1, 0.4, 0.7, 1.0)]
    assert (np.diff(shares) > 0).all()
    assert shares[-1] == 1


def test_keys_scanned_counts_keys_rather_than_lists():
    """Every query visits one list: half of them one of 9 keys, half of 1."""
    scores, best = [[1.0, 0.0], [0.0, 1.0]] * 5, [0, 1] * 5
    assert keys_scanned(scores, best, [9, 1], recall=1.0) == 0.5
    assert keys_scanned(scores[::2], best[::2], [9, 1], recall=1.0) == 0.9


def test_95_percent_by_default():
    """Of 100 queries, ``lost`` need the second list as well."""
    scores, sizes = np.tile([1.0, 0.0], (100, 1)), [1, 1]
    for lost, share in ((0, 0.5), (4, 0.5), (6, 1.0)):
        best = np.r_[np.ones(lost, int), np.zeros(100 - lost, int)]
        assert keys_scanned(scores, best, sizes) == share


# --- both


def test_lists_of_several_best_keys():
    """Each of the k best keys counts as that of a query of its own."""
    scores, best, sizes = draw(200, 8, 0)
    lists = np.stack([best, best[::-1], best], axis=1)
    each = [routing_recall(scores, column, 3) for column in lists.T]
    assert routing_recall(scores, lists, 3) == pytest.approx(np.mean(each))
    assert keys_scanned(scores, lists[:, :1], sizes) == keys_scanned(
        scores, best, sizes
    )
    repeated = np.repeat(scores, 3, axis=0), lists.ravel()
    assert keys_scanned(scores, lists, sizes) == pytest.approx(
        keys_scanned(*repeated, sizes)
    )


@given(recall=st.floats(0.01, 1), **cases)
def test_a_weight_is_worth_as_many_repetitions(recall, n, c, seed):
    scores, best, sizes = draw(n, c, seed)
    rng = np.random.default_rng(seed)
    weight = rng.integers(3, size=n) + (np.arange(n) == 0)
    rows = rng.permutation(np.repeat(np.arange(n), weight))
    weighted = routing_recall(scores, best, 2, sample_weight=weight)
    assert weighted == pytest.approx(routing_recall(scores[rows], best[rows], 2))
    weighted = keys_scanned(scores, best, sizes, recall, sample_weight=weight)
    assert weighted == pytest.approx(
        keys_scanned(scores[rows], best[rows], sizes, recall)
    )


def test_a_single_list():
    assert routing_recall([[0.3], [0.2]], [0, 0], 1) == 1
    assert keys_scanned([[0.3], [0.2]], [0, 0], [7]) == 1


def test_tied_lists_are_visited_in_order():
    """A router that tells nothing gets nothing for it."""
    scores = [[2.0, 1.0, 1.0, 0.0]] * 3
    assert routing_recall(scores, [1, 2, 3], 1) == 0
    assert routing_recall(scores, [1, 2, 3], 2) == pytest.approx(1 / 3)
    assert routing_recall(scores, [1, 2, 3], 3) == pytest.approx(2 / 3)
    assert keys_scanned(scores, [1, 2, 2], [3, 1, 1, 5], recall=1.0) == 0.5


@given(**cases)
def test_only_the_order_of_scores_matters(n, c, seed):
    scores, best, sizes = draw(n, c, seed)
    other = np.exp(scores.astype(np.float32)) - 5
    assert routing_recall(other, best, 2) == routing_recall(scores, best, 2)
    assert keys_scanned(other, best, sizes, 0.8) == keys_scanned(
        scores, best, sizes, 0.8
    )


def test_lists_without_a_score_come_last():
    """As LinearRouter scores lists that never won."""
    scores = [[1.0, -np.inf, 0.0]] * 2
    assert routing_recall(scores, [2, 1], 2) == 0.5
    assert keys_scanned(scores, [2, 0], [2, 5, 3], 1.0) == 0.5


@pytest.mark.parametrize(
    ("scores", "best", "message"),
    [
        ([[1.0], [2.0]], [0], "inconsistent numbers of samples"),
        ([1.0, 2.0], [0, 0], "Expected 2D array"),
        ([[1.0], [np.nan]], [0, 0], "NaN"),
        ([[1.0], [2.0]], [[[0]], [[0]]], "dim 3"),
        ([[1.0], [2.0]], [0, -1], "from 0 to 0"),
        ([[1.0], [2.0]], [0, 1], "from 0 to 0"),
    ],
)
def test_bad_input(scores, best, message):
    with pytest.raises(ValueError, match=message):
        routing_recall(scores, best, 1)
    with pytest.raises(ValueError, match=message):
        keys_scanned(scores, best, [1])


def test_recall_is_a_share():
    with pytest.raises(ValueError, match="recall == 95, must be <= 1"):
        keys_scanned([[1.0]], [0], [1], recall=95)


@pytest.mark.parametrize("n_lists", [10, 49, 100])
@pytest.mark.parametrize("k", [1, 3])
def test_as_few_lists_as_it_takes(n_lists, k):
    """One query has its best keys in each list: p of n lists have p of n keys."""
    scores = np.tile(-np.arange(n_lists), (n_lists, 1))
    best = np.repeat(np.arange(n_lists)[:, None], k, axis=1)
    for p in range(1, n_lists + 1):
        for weight in (None, np.ones(n_lists), np.full(n_lists, 0.1)):
            share = keys_scanned(
                scores, best, np.ones(n_lists), p / n_lists, sample_weight=weight
            )
            assert share == pytest.approx(p / n_lists)


@pytest.mark.parametrize("sizes", [[5, 5, 5], [5], [], [0, 0], [5, -1]])
def test_sizes_are_those_of_the_lists(sizes):
    with pytest.raises(ValueError, match="numbers of keys of 2 lists"):
        keys_scanned([[1.0, 0.0]], [1], sizes)


@pytest.mark.parametrize("p", [0, -1, 1.5])
def test_whole_lists_are_visited(p):
    with pytest.raises((ValueError, TypeError), match=r"p == |p must be an instance"):
        routing_recall([[1.0, 0.0]], [1], p)
