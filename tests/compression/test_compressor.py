"""DatabaseCompressor: kept keys, estimates, lists, and scikit-learn's manners."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from sk_amips import CentroidRouter, DatabaseCompressor, exact_search


@pytest.fixture(scope="module")
def log():
    """500 keys, of which 40 attract nearly all queries; and queries to judge by."""
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(500, 12)).astype(np.float32)
    keys *= rng.uniform(0.5, 1.5, size=(500, 1)).astype(np.float32)
    about = rng.permutation(500)[:40]
    queries = keys[rng.choice(about, size=3000)] + 0.3 * rng.normal(size=(3000, 12))
    return keys, queries[:2000].astype(np.float32), queries[2000:].astype(np.float32)


def test_reaches_the_recall_it_is_asked_for(log):
    keys, known, new = log
    for k in (1, 5):
        fitted = DatabaseCompressor(keys, target_recall=0.9, k=k).fit(known)
        assert 0.9 <= fitted.recall_ < 0.92
        best = exact_search(keys, new, k)[1]
        truth = np.isin(best, fitted.kept_).mean()
        assert fitted.score(new) == pytest.approx(truth)
        assert abs(truth - fitted.recall_) < 4 * fitted.standard_error_ + 0.01
        assert len(fitted.kept_) < 250
        smaller = fitted.predict_recall(len(fitted.kept_) - 1)
        assert smaller < 0.9


def test_search_is_exact_among_the_kept(log):
    keys, known, new = log
    fitted = DatabaseCompressor(keys, n_kept=60).fit(known)
    assert len(fitted.kept_) == 60
    assert (np.diff(fitted.kept_) > 0).all()
    np.testing.assert_array_equal(fitted.kept_keys_, keys[fitted.kept_])
    scores, indices = fitted.search(new, 3)
    among, at = exact_search(fitted.kept_keys_, new, 3)
    np.testing.assert_array_equal(indices, fitted.kept_[at])
    np.testing.assert_array_equal(scores, among)
    with pytest.raises(ValueError, match="k"):
        fitted.search(new, 61)


def test_support_and_shares(log):
    keys, known, _ = log
    fitted = DatabaseCompressor(keys, n_kept=0.2).fit(known)
    assert fitted.get_support().sum() == 100
    np.testing.assert_array_equal(
        np.flatnonzero(fitted.get_support()), fitted.get_support(indices=True)
    )
    assert set(fitted.kept_) == set(fitted.ranking_[:100])
    curve = fitted.predict_recall([0, 50, 100, 500])
    assert curve[0] == 0
    assert curve[2] == fitted.recall_
    assert curve[3] == 1


def test_lists_of_kept_keys_come_first(log):
    keys, known, new = log
    fitted = DatabaseCompressor(keys, n_kept=50).fit(known)
    lists = fitted.partition(20, random_state=0)
    assert lists.n_partitions == 20
    first = np.unique(lists.labels_[fitted.kept_])
    rest = np.unique(lists.labels_[~fitted.get_support()])
    assert first.max() < rest.min()
    router = CentroidRouter(keys, partition=lists).fit(known)
    np.testing.assert_array_equal(
        router.search(new, 2)[1], exact_search(keys, new, 2)[1]
    )
    assert fitted.partition(2).n_partitions == 2
    assert fitted.partition().n_partitions == 22
    assert fitted.partition("auto").n_partitions == 45
    everything = DatabaseCompressor(keys, n_kept=500).fit(known)
    assert everything.partition(20).n_partitions == 20
    one = DatabaseCompressor(keys, n_kept=1).fit(known).partition(5)
    assert one.sizes_[0] == 1
    assert one.n_partitions == 5


def test_groups_make_the_estimate_sober(log):
    keys, known, _ = log
    groups = np.arange(len(known)) // 2
    pairs = np.repeat(known[::2], 2, axis=0)
    alone = DatabaseCompressor(keys, n_kept=60).fit(pairs)
    grouped = DatabaseCompressor(keys, n_kept=60).fit(pairs, groups=groups)
    once = DatabaseCompressor(keys, n_kept=60).fit(known[::2])
    np.testing.assert_array_equal(grouped.ranking_, once.ranking_)
    assert grouped.recall_ == pytest.approx(once.recall_)
    assert grouped.standard_error_ == pytest.approx(once.standard_error_)
    assert alone.recall_ > grouped.recall_
    assert alone.standard_error_ < grouped.standard_error_


def test_weights_and_zero_queries(log):
    keys, known, _ = log
    weight = np.arange(len(known)) % 3
    weighted = DatabaseCompressor(keys).fit(known, sample_weight=weight)
    queries = known.copy()
    queries[weight == 0] = 0
    zeros = DatabaseCompressor(keys).fit(queries, sample_weight=np.maximum(weight, 1))
    np.testing.assert_array_equal(weighted.ranking_, zeros.ranking_)
    assert weighted.recall_ == zeros.recall_
    score = weighted.score(known, sample_weight=weight)
    assert score == pytest.approx(zeros.score(queries, sample_weight=weight))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        weighted.score(known, sample_weight=-weight)
    with pytest.raises(ValueError, match="No query"):
        weighted.score(np.zeros_like(known))


def test_estimator_manners(log):
    keys, known, new = log
    compressor = DatabaseCompressor(keys)
    with pytest.raises(NotFittedError):
        compressor.search(new)
    assert clone(compressor).keys is keys
    before = known.copy()
    fitted = compressor.fit(known)
    assert fitted.keys_ is keys
    np.testing.assert_array_equal(known, before)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.search(new)[1], fitted.search(new)[1])
    grid = GridSearchCV(compressor, {"n_kept": [20, 100]}, cv=2).fit(known)
    assert grid.best_params_ == {"n_kept": 100}
    kept = fitted.kept_
    with pytest.raises(ValueError, match="n_kept"):
        fitted.set_params(n_kept=501).fit(known)
    assert fitted.kept_ is kept
    score = fitted.score(new)
    assert score > 0.9
    assert fitted.set_params(k=5).score(new) == score  # of the k that was fitted


@pytest.mark.parametrize("n_kept", [0.5, -1, 501, [3, 501], [True]])
def test_wrong_sizes(log, n_kept):
    compressor = DatabaseCompressor(log[0]).fit(log[1])
    with pytest.raises(ValueError, match="n_kept must"):
        compressor.predict_recall(n_kept)
    assert compressor.predict_recall([]).shape == (0,)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"k": 501}, "501"),
        ({"k": 9, "n_neighbors": 8}, "n_neighbors must be at least k=9"),
        ({"n_kept": 0}, "n_kept"),
        ({"n_kept": 3, "k": 4}, "between k=4 and"),
        ({"target_recall": 1.0}, "target_recall"),
    ],
)
def test_wrong_numbers(log, params, match):
    keys, known, _ = log
    with pytest.raises(ValueError, match=match):
        DatabaseCompressor(keys, **params).fit(known)


def test_wrong_queries(log):
    keys, known, _ = log
    compressor = DatabaseCompressor(keys)
    with pytest.raises(ValueError, match="as many features as the keys"):
        compressor.fit(known[:, :5])
    with pytest.raises(ValueError, match="at least two groups"):
        compressor.fit(known, groups=np.zeros(len(known)))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        compressor.fit(known, sample_weight=-np.ones(len(known)))
    with pytest.raises(ValueError, match="NaN"):
        compressor.fit(np.where(known > 3, np.nan, known))


def test_few_groups_do_not_judge_themselves():
    """Against an order made anew without each group in turn."""
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(2000, 16))
    centers = rng.normal(size=(5, 16))
    groups = np.repeat(np.arange(5), 40)
    queries = centers[groups] + 0.5 * rng.normal(size=(200, 16))
    params = {"n_kept": 400, "n_neighbors": 1}
    recall = DatabaseCompressor(keys, **params).fit(queries, groups=groups).recall_
    apart = [
        DatabaseCompressor(keys, **params)
        .fit(queries[groups != g], groups=groups[groups != g])
        .score(queries[groups == g])
        for g in range(5)
    ]
    assert recall == pytest.approx(np.mean(apart), abs=0.03)
