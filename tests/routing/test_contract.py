"""The scikit-learn contract beyond its own checks."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer

from sk_amips import CentroidRouter, LinearRouter, OptimisticRouter
from sk_amips.metrics import neg_keys_scanned_scorer, routing_recall_scorer


@pytest.fixture
def fitted(make, log):
    return make().fit(log.train)


def test_unfitted_after_a_fit_that_failed(make, log):
    router = make(partition=[0])
    with pytest.raises(ValueError, match="1 labels"):
        router.fit(log.train)
    with pytest.raises(NotFittedError):
        router.predict(log.test)


def test_clone_shares_keys_and_lists(make, log):
    lists = CentroidRouter(log.keys, n_partitions=5).fit(log.train).partition_
    for partition in (None, lists, [0] * 600):
        router = make(partition=partition)
        for copy in (clone(router), clone(make_pipeline(Normalizer(), router))[-1]):
            assert copy is not router
            assert copy.keys is router.keys is log.keys
            assert copy.partition is router.partition is partition
            assert copy.get_params() == router.get_params()


def test_pickle(fitted, log):
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(
        copy.predict_partitions(log.test), fitted.predict_partitions(log.test)
    )
    np.testing.assert_array_equal(
        copy.search(log.test, 3, n_probe=2)[1], fitted.search(log.test, 3, n_probe=2)[1]
    )


def test_reproducible_by_seed(make, log, keeps_global_rng):
    first, again, other = (make(random_state=s).fit(log.train) for s in (3, 3, 4))
    np.testing.assert_array_equal(
        first.predict_partitions(log.test), again.predict_partitions(log.test)
    )
    assert (first.partition_.labels_ != other.partition_.labels_).any()


@pytest.mark.parametrize(
    "scorer", [neg_keys_scanned_scorer(0.9), routing_recall_scorer(1)]
)
def test_bake_off_in_one_grid_search(log, scorer):
    usual = {"keys": log.keys, "random_state": 0}
    routers = [
        CentroidRouter(**usual),
        OptimisticRouter(**usual),
        LinearRouter(**usual),
    ]
    grid = {"router": routers, "router__n_partitions": [1, 5, 20]}
    pipe = Pipeline([("norm", Normalizer()), ("router", CentroidRouter())])
    search = GridSearchCV(pipe, grid, cv=2, scoring=scorer, error_score="raise")
    search.fit(log.train)
    scores = search.cv_results_["mean_test_score"].reshape(3, 3)
    np.testing.assert_array_equal(np.abs(scores[:, 0]), 1)  # of a single list
    assert (scores[1:, 2] > scores[0, 2]).all()
    assert search.best_estimator_["router"].keys_ is log.keys
