"""What all scorers have in common."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sk_amips import AmortizedNeighbors, CentroidRouter, KeyNetRegressor, exact
from sk_amips.metrics import (
    match_rate_scorer,
    mean_reciprocal_rank_scorer,
    neg_keys_scanned_scorer,
    neg_macs_scorer,
    neg_relative_key_error_scorer,
    recall_at_k_scorer,
    routing_recall_scorer,
)

OF_ROUTERS = [
    match_rate_scorer(),
    match_rate_scorer(n_probe=2),
    recall_at_k_scorer(3),
    recall_at_k_scorer(k=3, n_probe=2),
    routing_recall_scorer(p=2),
    neg_keys_scanned_scorer(recall=0.9),
    neg_macs_scorer(recall=0.9, k=2),
]
OF_KEYS = [
    match_rate_scorer(),
    recall_at_k_scorer(3),
    mean_reciprocal_rank_scorer(k=5),
    neg_relative_key_error_scorer(),
    neg_relative_key_error_scorer(average="ratio_of_means"),
]
OF_INDEXES = [
    match_rate_scorer(),
    recall_at_k_scorer(3),
    recall_at_k_scorer(3, n_probe=1),
    neg_keys_scanned_scorer(recall=0.5),
    neg_macs_scorer(recall=0.5),
]
all_scorers = pytest.mark.parametrize("scorer", [*OF_ROUTERS, *OF_KEYS], ids=repr)


@all_scorers
def test_scorers_are_shown_cloned_and_pickled(scorer):
    for copy in (pickle.loads(pickle.dumps(scorer)), eval(repr(scorer)), clone(scorer)):
        assert type(copy) is type(scorer)
        assert copy.get_params() == vars(copy) == vars(scorer)


@pytest.mark.parametrize("scorer", OF_ROUTERS, ids=repr)
def test_in_a_pipeline(router, queries, scorer):
    """The last step is measured on the queries as they reach it."""
    pipe = make_pipeline(StandardScaler(), Normalizer(), router).fit(queries)
    value = scorer(pipe, queries)
    assert type(value) is float
    assert value == scorer(router, pipe[:-1].transform(queries))
    assert value != scorer(router, queries)
    alone = Pipeline([("router", router)])
    assert scorer(alone, queries) == scorer(router, queries)


def check_weights(scorer, estimator, queries, weight):
    """A weight is worth as many repetitions."""
    value = scorer(estimator, queries, sample_weight=weight)
    assert type(value) is float
    assert value == pytest.approx(scorer(estimator, np.repeat(queries, weight, axis=0)))
    assert value != scorer(estimator, queries)


@pytest.mark.parametrize("scorer", OF_ROUTERS, ids=repr)
def test_weights_of_routers(scorer, router, queries, weight):
    check_weights(scorer, router, queries, weight)


@pytest.mark.parametrize("scorer", OF_KEYS[2:], ids=repr)
def test_weights_of_predicted_keys(scorer, key_net, queries, weight):
    check_weights(scorer, key_net, queries, weight)


@pytest.mark.parametrize("scorer", OF_INDEXES, ids=repr)
def test_an_index_in_cross_validation(scorer, router, queries):
    index = AmortizedNeighbors(router, k=3, target_recall=0.7, random_state=0)
    scores = cross_validate(index, queries, cv=2, scoring=scorer)["test_score"]
    assert np.isfinite(scores).all()
    index.fit(queries)
    assert scorer(index, queries) == pytest.approx(
        scorer(make_pipeline(Normalizer(), index), queries), rel=1e-3
    )


@pytest.mark.parametrize("kind", [CentroidRouter, KeyNetRegressor])
def test_queries_with_names(kind, keys, queries):
    """They are checked once, as a warning would tell."""
    frame = pd.DataFrame(queries, columns=list("abcd"))
    named = kind(keys, random_state=0).fit(frame)
    plain = kind(keys, random_state=0).fit(queries)
    for scorer in OF_ROUTERS if kind is CentroidRouter else OF_KEYS:
        assert scorer(named, frame) == scorer(plain, queries)


def named(scorers):
    return {repr(scorer): scorer for scorer in scorers}


def test_all_in_one_grid_search(key_net, router, queries):
    for estimator, scorers in ((key_net, OF_KEYS), (router, OF_ROUTERS)):
        scoring = named(scorers)
        search = GridSearchCV(
            estimator, {"random_state": [0]}, scoring=scoring, refit=next(iter(scoring))
        ).fit(queries)
        alone = clone(estimator).fit(queries[16:])  # the first of five folds
        for name, scorer in scoring.items():
            value = search.cv_results_[f"split0_test_{name}"][0]
            assert value == pytest.approx(scorer(alone, queries[:16]))


def test_weights_reach_scorers_without_routing(key_net, queries, weight):
    weight, half = weight + 1, len(queries) // 2
    scoring = named(OF_KEYS)
    search = GridSearchCV(
        key_net, {"random_state": [0]}, scoring=scoring, refit=False, cv=2
    ).fit(queries, sample_weight=weight)
    net = clone(key_net).fit(queries[half:], sample_weight=weight[half:])
    for name, scorer in scoring.items():
        assert search.cv_results_[f"split0_test_{name}"][0] == pytest.approx(
            scorer(net, queries[:half], sample_weight=weight[:half])
        )


def test_weights_reach_scorers_that_ask_for_them(router, queries, weight):
    scoring = {
        "with": match_rate_scorer(n_probe=2),
        "without": match_rate_scorer(n_probe=2),
    }
    params = {"sample_weight": weight}
    with config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError, match="match_rate_scorer"):
            cross_validate(router, queries, scoring=scoring, params=params)
        assert scoring["with"].set_score_request(sample_weight=True) is scoring["with"]
        scoring["without"].set_score_request(sample_weight=False)
        scoring = {name: clone(scorer) for name, scorer in scoring.items()}
        found = cross_validate(
            router, queries, scoring=scoring, params=params, return_indices=True
        )
        plain = cross_validate(router, queries, scoring=scoring["without"])
    np.testing.assert_array_equal(found["test_without"], plain["test_score"])
    rows = found["indices"]["test"][0]
    # Nothing is learned from queries, so that the router of each fold is the same.
    assert found["test_with"][0] == pytest.approx(
        scoring["with"](router, queries[rows], sample_weight=weight[rows])
    )
    assert (found["test_with"] != found["test_without"]).any()


def test_requests_need_routing():
    with pytest.raises(RuntimeError, match="enable_metadata_routing"):
        match_rate_scorer().set_score_request(sample_weight=True)


def test_the_memory_of_an_estimator_shares_exact_searches(
    keys, queries, tmp_path, monkeypatch
):
    """The second candidate, and the second scorer, search for no best key anew."""
    net = KeyNetRegressor(
        keys,
        hidden_layer_sizes=(4,),
        max_epochs=1,
        memory=str(tmp_path),
        random_state=0,
    ).fit(queries)
    scorer = match_rate_scorer()
    value = scorer(net, queries[:20])
    calls = []
    search = exact._search._search_block

    def spy(*args, **kwargs):
        calls.append(args)
        return search(*args, **kwargs)

    monkeypatch.setattr(exact._search, "_search_block", spy)
    assert scorer(net, queries[:20]) == value
    assert len(calls) == 1  # for the keys nearest to the predicted ones
