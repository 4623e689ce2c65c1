import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sk_amips import CentroidRouter, exact_search
from sk_amips.metrics import (
    keys_scanned,
    keys_scanned_scorer,
    recall_at_k_scorer,
    routing_recall,
    routing_recall_scorer,
)


@pytest.fixture
def queries(rng):
    return 3 + rng.normal(size=(80, 4))


@pytest.fixture
def keys(rng):
    return rng.normal(size=(200, 4))


@pytest.mark.parametrize(
    "scorer",
    [
        recall_at_k_scorer(k=3, n_probe=2),
        recall_at_k_scorer(k=3, n_probe=None),
        routing_recall_scorer(p=2),
        keys_scanned_scorer(recall=0.9),
    ],
    ids=repr,
)
def test_scorers_are_shown_and_pickled(scorer):
    copy = pickle.loads(pickle.dumps(scorer))
    assert vars(copy) == vars(eval(repr(scorer))) == vars(scorer)


@pytest.mark.parametrize(
    "scorer",
    [recall_at_k_scorer(3), routing_recall_scorer(2), keys_scanned_scorer(0.9)],
    ids=repr,
)
def test_in_a_pipeline(keys, queries, scorer):
    """The last step is measured on the queries as they reach it."""
    router = CentroidRouter(keys, n_partitions=10, random_state=0)
    pipe = make_pipeline(StandardScaler(), Normalizer(), router).fit(queries)
    value = scorer(pipe, queries)
    assert type(value) is float
    assert value == scorer(router, pipe[:-1].transform(queries))
    assert value != scorer(router, queries)
    alone = Pipeline([("router", router)])
    assert scorer(alone, queries) == scorer(router, queries)


def test_cross_validation(keys, queries):
    router = CentroidRouter(keys, n_partitions=10, random_state=0)
    for scoring in (recall_at_k_scorer(3), routing_recall_scorer(2)):
        scores = cross_val_score(router, queries, cv=4, scoring=scoring)
        assert ((scores > 0) & (scores <= 1)).all()
    scores = cross_val_score(router, queries, cv=4, scoring=keys_scanned_scorer())
    assert ((scores >= -1) & (scores < 0)).all()


# --- recall at k


class Searcher(BaseEstimator):
    """Finds the exact keys, or those next to them when it has to be quick."""

    def search(self, X, k, n_probe=None):
        scores = np.tile(np.arange(9.0, 9 - k, -1), (len(X), 1))
        indices = np.tile(np.arange(k), (len(X), 1))
        return (scores, indices) if n_probe is None else (scores - n_probe, indices)

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


# --- routing


@pytest.fixture
def routed(keys, queries):
    """A fitted router, its scores of lists, and the list of each best key."""
    router = CentroidRouter(keys, n_partitions=10, random_state=0).fit(queries)
    best = exact_search(keys, queries)[1][:, 0]
    return router, router.predict_partitions(queries), router.partition_.labels_[best]


@pytest.mark.parametrize("p", [1, 3, 10])
def test_routing_recall_scorer(routed, queries, p):
    router, scores, best = routed
    value = routing_recall_scorer(p)(router, queries, y=None)
    assert value == routing_recall(scores, best, p)
    found = router.search(queries, n_probe=p)[1] == router.search(queries)[1]
    assert value == found.mean()


@pytest.mark.parametrize("recall", [0.5, 0.9, 1.0])
def test_keys_scanned_scorer_is_negative(routed, queries, recall):
    router, scores, best = routed
    value = keys_scanned_scorer(recall)(router, queries, y=None)
    assert value == -keys_scanned(scores, best, router.partition_.sizes_, recall)
    assert -1 <= value < 0


class Oracle(CentroidRouter):
    """Knows the list of each best key."""

    def _list_scores(self, X):
        best = self.partition_.labels_[exact_search(self.keys_, X)[1]]
        return (np.arange(self.partition_.n_partitions) == best).astype(X.dtype)


def test_better_routers_score_higher(routed, keys, queries):
    router = routed[0]
    oracle = Oracle(keys, partition=router.partition_).fit(queries)
    for scorer in (keys_scanned_scorer(0.9), routing_recall_scorer(1)):
        assert scorer(oracle, queries) > scorer(router, queries)
    assert routing_recall_scorer(1)(oracle, queries) == 1
