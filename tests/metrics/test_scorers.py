import numpy as np
import pytest
from sklearn.base import BaseEstimator

from sk_amips import AmortizedNeighbors, KeyNetRegressor, SupportNetRegressor
from sk_amips.metrics import (
    match_rate,
    match_rate_scorer,
    mean_reciprocal_rank_scorer,
    neg_relative_key_error_scorer,
    recall_at_k_scorer,
    relative_key_error,
)

# --- recall at k


class Searcher(BaseEstimator):
    """Finds the exact keys, or those next to them when it has to be quick."""

    def search(self, X, k, n_probe=None):
        scores = np.tile(np.arange(9.0, 9 - k, -1), (len(X), 1))
        indices = np.tile(np.arange(k), (len(X), 1))
        return (scores, indices) if n_probe is None else (scores - n_probe, indices)

    def _exact(self, X, k):
        return self.search(X, k)

    def _check_queries(self, X):
        return X

    def _answer(self, X, k):
        scores, indices = self.search(X, k)
        return scores - 3, indices


def test_recall_at_k_scorer():
    """Of k scores 9, 8, ... that are p too low, k - p reach the k-th best."""
    X = np.zeros((3, 2))
    assert recall_at_k_scorer(4)(Searcher(), X) == 0.25
    assert recall_at_k_scorer(4, n_probe=2)(Searcher(), X) == 0.5
    assert recall_at_k_scorer(4, n_probe=None)(Searcher(), X, y=None) == 1.0


# --- match rate


@pytest.mark.parametrize("n_partitions", [1, 5])
def test_match_rate_scorer_is_the_score(keys, queries, n_partitions):
    net = SupportNetRegressor(
        keys, n_partitions=n_partitions, max_epochs=1, random_state=0
    ).fit(queries)
    assert match_rate_scorer()(net, queries) == net.score(queries)
    found = net.search(queries, n_probe=2)[0]
    rate = match_rate(net.search(queries)[0], found)
    assert match_rate_scorer(n_probe=2)(net, queries) == rate
    assert match_rate_scorer(n_probe=None)(net, queries) == 1


def test_what_is_exact_is_searched_beside_an_index(router, queries, weight):
    """An index that finds half of the keys does not judge itself."""
    index = AmortizedNeighbors(router, k=3, n_probe=1, random_state=0).fit(queries)
    assert recall_at_k_scorer(3)(index, queries) == index.score(queries) < 1
    weighted = recall_at_k_scorer(3)(index, queries, sample_weight=weight)
    assert weighted == index.score(queries, sample_weight=weight)
    assert match_rate_scorer()(index, queries) == router.score(queries) < 1
    assert match_rate_scorer(n_probe=10)(index, queries) == 1


def test_n_probe_is_checked(router, queries):
    with pytest.raises(ValueError, match="'auto': 'all'"):
        match_rate_scorer(n_probe="all")(router, queries)


# --- predicted keys


@pytest.mark.parametrize("n_partitions", [1, 5])
def test_reciprocal_rank_among_the_keys_nearest_to_the_predicted(
    keys, queries, best_keys, n_partitions
):
    net = KeyNetRegressor(
        keys,
        n_partitions=n_partitions,
        hidden_layer_sizes=(8,),
        lr=0.03,
        max_epochs=40,
        random_state=0,
    ).fit(queries)
    predicted = net.transform(queries)
    distances = np.square(predicted[:, None] - keys).sum(axis=2)
    order = np.argsort(distances, axis=1)
    rank = 1 + (order == best_keys[:, None]).argmax(axis=1)
    for k in (1, 5, len(keys)):
        expected = np.where(rank <= k, 1 / rank, 0).mean()
        value = mean_reciprocal_rank_scorer(k)(net, queries)
        assert value == pytest.approx(expected)
        assert 0 < value < 1
    if n_partitions == 1:
        assert mean_reciprocal_rank_scorer(1)(net, queries) == net.score(queries)


def test_reciprocal_rank_needs_as_many_keys(key_net, queries):
    with pytest.raises(ValueError, match="at most the number of keys, 200"):
        mean_reciprocal_rank_scorer(201)(key_net, queries)


@pytest.mark.parametrize("average", ["mean_of_ratios", "ratio_of_means"])
def test_key_error_scorer(keys, queries, best_keys, key_net, average):
    best = keys[best_keys]
    error = relative_key_error(
        key_net.transform(queries), best, queries, average=average
    )
    scorer = neg_relative_key_error_scorer(average)
    assert scorer(key_net, queries) == pytest.approx(-error)


def test_key_error_of_sums(keys, queries):
    """Of the sum of the k best keys, their mean is the measure."""
    net = KeyNetRegressor(keys, top_k=3, max_epochs=1, random_state=0).fit(queries)
    mean = keys[net.search(queries, 3)[1]].mean(axis=1)
    error = relative_key_error(net.transform(queries) / 3, mean, queries)
    assert neg_relative_key_error_scorer()(net, queries) == pytest.approx(-error)


@pytest.mark.parametrize(
    "scorer", [mean_reciprocal_rank_scorer(), neg_relative_key_error_scorer()]
)
def test_a_router_predicts_no_keys(scorer, router, queries):
    with pytest.raises(TypeError, match=r"predicts keys, .* got CentroidRouter"):
        scorer(router, queries)
