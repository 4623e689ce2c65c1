import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

from sk_amips import (
    AmortizedNeighbors,
    CentroidRouter,
    OptimisticRouter,
    exact_search,
)
from sk_amips.metrics import (
    keys_scanned,
    macs_per_query,
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


@pytest.mark.parametrize("recall", [0.5, 0.9])
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


def test_cross_validation(router, queries):
    for k in (1, 3):
        scoring = routing_recall_scorer(2, k)
        scores = cross_val_score(router, queries, cv=4, scoring=scoring)
        assert ((scores > 0) & (scores <= 1)).all()
        scoring = neg_keys_scanned_scorer(k=k)
        scores = cross_val_score(router, queries, cv=4, scoring=scoring)
        assert ((scores >= -1) & (scores < 0)).all()
