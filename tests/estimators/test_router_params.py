"""Parameters of the estimators that make them routers."""

import numpy as np
import pytest

from sk_amips import (
    CentroidRouter,
    KeyNetRegressor,
    OptimisticRouter,
    SupportNetRegressor,
)
from sk_amips.metrics import routing_recall_scorer

SMALL = {"hidden_layer_sizes": (16,), "max_epochs": 1, "random_state": 0, "lr": 1e-9}


@pytest.mark.parametrize("convexity", ["strict", None])
def test_training_starts_from_the_base_score(log, convexity):
    """What is left after the start is what the random network adds to it."""
    routers = {
        "centroid": CentroidRouter(log.keys, n_partitions=10, random_state=0),
        "optimistic": OptimisticRouter(log.keys, n_partitions=10, random_state=0),
    }
    left = {}
    for base_score in (None, "centroid", "optimistic"):
        est = SupportNetRegressor(
            log.keys,
            n_partitions=10,
            base_score=base_score,
            convexity=convexity,
            **SMALL,
        ).fit(log.train)
        left[base_score] = est.predict_partitions(log.test)
        if base_score is not None:
            router = routers[base_score].fit(log.train)
            left[base_score] -= router.predict_partitions(log.test)
    np.testing.assert_allclose(
        left["centroid"], left["optimistic"], rtol=1e-3, atol=1e-4
    )
    assert not np.allclose(left[None], left["centroid"], atol=1e-2)


@pytest.mark.parametrize("base_score", ["centroid", "optimistic"])
def test_learning_improves_on_the_base(log, base_score):
    scorer = routing_recall_scorer(p=1)
    params = {"n_partitions": 20, "base_score": base_score, "lr": 5e-3}
    params |= {"batch_size": 100, "hidden_layer_sizes": (64,), "random_state": 0}
    few, many = (
        scorer(
            SupportNetRegressor(log.keys, max_epochs=n, **params).fit(log.train),
            log.test,
        )
        for n in (1, 60)
    )
    assert many > few


def test_ellipsoids_of_a_sum_of_keys_are_as_much_larger(log):
    params = {"convexity": "strict", "base_score": "optimistic"}
    one, three = (
        SupportNetRegressor(log.keys, top_k=k, **params, **SMALL)
        .fit(log.train)
        .net_.module_.base
        for k in (1, 3)
    )
    np.testing.assert_allclose(three.factors, 3 * one.factors, rtol=1e-5)


def test_a_shared_head_predicts_one_key(log):
    est = KeyNetRegressor(
        log.keys,
        n_partitions=10,
        shared_head=True,
        hidden_layer_sizes=(64,),
        routing_weight=0.01,
        batch_size=100,
        max_epochs=40,
        random_state=0,
    ).fit(log.train)
    assert {"train_score_loss", "train_key_loss", "train_routing_loss"} <= set(
        est.history_[-1]
    )
    key, scores = est.predict(log.test), est.predict_partitions(log.test)
    assert key.shape == log.test.shape
    norms = np.linalg.norm(log.test, axis=1, keepdims=True)
    expected = norms * (key @ est.partition_.centroids_.T)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    untrained = CentroidRouter(log.keys, partition=est.partition_).fit(log.train)
    assert est.score(log.test) > untrained.score(log.test)


def test_a_shared_residual_head_starts_as_the_centroids(log):
    params = {"n_partitions": 10, "shared_head": True, "residual": True}
    est = KeyNetRegressor(log.keys, **params, **SMALL).fit(log.train)
    untrained = CentroidRouter(log.keys, partition=est.partition_).fit(log.train)
    orders = [r.predict_partitions(log.test).argmax(axis=1) for r in (est, untrained)]
    assert (orders[0] == orders[1]).mean() > 0.5


def test_routing_weight_reaches_sampled_heads(make, log):
    """The cross-entropy needs the scores of all partitions, sampled or not."""
    est = make(n_partitions=6, matched_partitions=2, key_weight=1.0)
    assert "train_routing_loss" not in est.fit(log.train).history_[-1]
    est.set_params(routing_weight=0.1).fit(log.train)
    assert est.history_[-1, "train_routing_loss"] > 0


@pytest.mark.parametrize("matched", ["best", "all", 2])
def test_matched_partitions_learn_keys(make, log, matched):
    est = make(
        n_partitions=6,
        matched_partitions=matched,
        key_weight=10.0,
        hidden_layer_sizes=(64,),
        batch_size=100,
        max_epochs=40,
    ).fit(log.train)
    key_loss = est.history_[:, "train_key_loss"]
    assert key_loss[-1] < 0.8 * key_loss[0]
