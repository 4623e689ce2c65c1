import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, normalize

from sk_amips import (
    AmortizedNeighbors,
    CentroidRouter,
    OptimisticRouter,
    exact_search,
)
from sk_amips.metrics import (
    keys_scanned,
    macs_per_query,
    match_rate_scorer,
    neg_keys_scanned_scorer,
    neg_macs_scorer,
    routing_recall,
    routing_recall_scorer,
)


@pytest.fixture
def routed(router, queries, best_keys):
    """A fitted router, its scores of lists, and the list of each best key."""
    lists = router.partition_.labels_[best_keys]
    return router, router.predict_partitions(queries), lists


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
    value = neg_keys_scanned_scorer(recall)(router, queries, y=None)
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
    for scorer in (neg_keys_scanned_scorer(0.9), neg_macs_scorer(0.9)):
        assert scorer(oracle, queries) > scorer(router, queries)
    assert routing_recall_scorer(1)(router, queries) < 1
    assert routing_recall_scorer(1)(oracle, queries) == 1


@pytest.mark.parametrize("recall", [0.5, 0.9, 1.0])
def test_macs_are_those_of_as_many_lists_as_it_takes(routed, queries, recall):
    router, scores, best = routed
    p = next(p for p in range(1, 11) if routing_recall(scores, best, p) >= recall)
    macs = macs_per_query(router, queries, n_probe=p)
    assert neg_macs_scorer(recall)(router, queries) == pytest.approx(-macs)


def test_a_larger_router_has_to_spare_more(routed, queries):
    """Without optimism the ellipsoids cost and change nothing."""
    router = routed[0]
    other = OptimisticRouter(
        router.keys_, partition=router.partition_, rank=2, optimism=0.0
    ).fit(queries)
    assert neg_keys_scanned_scorer()(other, queries) == neg_keys_scanned_scorer()(
        router, queries
    )
    worse = neg_macs_scorer()(router, queries) - neg_macs_scorer()(other, queries)
    assert worse == pytest.approx(10 * 2 * 4)


def test_an_index_is_asked_for_the_recall(router, queries):
    index = AmortizedNeighbors(router, k=3, target_recall=0.9, random_state=0)
    index.fit(queries)
    macs = macs_per_query(index, queries, k=2, target_recall=0.6)
    assert neg_macs_scorer(0.6, k=2)(index, queries) == pytest.approx(-macs)
    share = index.visited(queries, 2, target_recall=0.6)[1].mean() / 200
    assert neg_keys_scanned_scorer(0.6, k=2)(index, queries) == pytest.approx(-share)


def test_where_all_lists_are_visited_the_router_is_not_asked(router, queries):
    reverse = clone(router).fit(queries)
    reverse.predict_partitions = lambda X: -router.predict_partitions(X)
    assert neg_macs_scorer(1.0)(reverse, queries) == -router.keys_.size
    assert macs_per_query(reverse, queries, n_probe=10) == router.keys_.size


def test_the_router_of_an_index_is_judged(router, queries):
    index = AmortizedNeighbors(router, k=3, target_recall=0.9, random_state=0)
    index.fit(queries)
    scorer = routing_recall_scorer(2, k=3)
    assert scorer(index, queries) == scorer(router, queries)


SCORERS = [routing_recall_scorer(2, 3), neg_keys_scanned_scorer(k=3), neg_macs_scorer()]


@pytest.mark.parametrize("scorer", SCORERS, ids=str)
def test_cross_validation(scorer, router, queries):
    """Each fold is scored as by itself, also where a search or a pipeline is fitted."""
    grid = GridSearchCV(router, {"n_jobs": [None]}, scoring=scorer, cv=2)
    nested = make_pipeline(FrozenEstimator(Normalizer()), make_pipeline(grid))
    for estimator in (router, grid, nested):
        scores = cross_val_score(estimator, queries, cv=KFold(4), scoring=scorer)
        for score, (train, test) in zip(scores, KFold(4).split(queries), strict=True):
            Q = queries if estimator is not nested else normalize(queries)
            assert score == scorer(clone(router).fit(Q[train]), Q[test])


@pytest.mark.parametrize("scorer", [*SCORERS, match_rate_scorer()], ids=str)
def test_other_estimators_are_refused(scorer, router, queries):
    name = type(scorer).__name__
    for other in (Normalizer(), make_pipeline(Normalizer()), GridSearchCV(router, {})):
        with pytest.raises(TypeError, match=f"{name} needs a router or an index"):
            scorer(other, queries)
