"""Prediction, search and score of fitted estimators."""

import numpy as np
import pytest

from sk_amips import exact_search
from sk_amips.metrics import recall_at_k_scorer


@pytest.fixture(params=[1, 6])
def fitted(request, make, log):
    return make(n_partitions=request.param).fit(log.train)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_and_dtypes(fitted, log, dtype):
    X = log.test.astype(dtype)
    one_a_query = type(fitted).__name__ == "SupportNetRegressor"
    assert fitted.predict(X).shape == ((200,) if one_a_query else (200, 12))
    assert fitted.transform(X).shape == (200, 12)
    c = fitted.partition_.n_partitions
    assert fitted.predict_partitions(X).shape == (200, c)
    for result in (fitted.predict(X), fitted.transform(X), fitted.search(X)[0]):
        assert result.dtype == dtype
    assert fitted.search(X)[1].dtype == np.int64


def test_predictions_belong_together(fitted, log):
    mapped = fitted.transform(log.test)
    scores = fitted.predict_partitions(log.test).max(axis=1)
    # Euler's identity: the predicted key's score is the predicted score.
    np.testing.assert_allclose((mapped * log.test).sum(axis=1), scores, rtol=1e-4)
    if type(fitted).__name__ == "SupportNetRegressor":
        np.testing.assert_array_equal(fitted.predict(log.test), scores)
    else:
        np.testing.assert_array_equal(fitted.predict(log.test), mapped)


def test_one_query_at_a_time(fitted, log):
    together = fitted.transform(log.test[:5])
    alone = np.concatenate([fitted.transform(x[None]) for x in log.test[:5]])
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)


def test_search_of_all_partitions_is_exact(fitted, log):
    scores, indices = exact_search(log.keys, log.test, 7)
    for n_probe in (None, fitted.partition_.n_partitions):
        found = fitted.search(log.test, 7, n_probe=n_probe)
        np.testing.assert_array_equal(found[1], indices)
        np.testing.assert_array_equal(found[0], scores)


def test_search_visits_the_best_predicted_partitions(make, log):
    est = make(n_partitions=6).fit(log.train)
    predicted = est.predict_partitions(log.test)
    labels = est.partition_.labels_
    scores = log.test.astype(float) @ log.keys.astype(float).T
    for n_probe in (1, 3):
        allowed = np.argsort(-predicted, axis=1)[:, :n_probe]
        mask = (labels[None, :, None] == allowed[:, None, :]).any(axis=2)
        expected = np.where(mask, scores, -np.inf).argmax(axis=1)
        np.testing.assert_array_equal(
            est.search(log.test, 1, n_probe)[1][:, 0], expected
        )


def test_kneighbors(fitted, log):
    scores, indices = fitted.search(log.test, 3)
    distances, neighbors = fitted.kneighbors(log.test, 3)
    np.testing.assert_array_equal(neighbors, indices)
    np.testing.assert_array_equal(distances, -scores)
    assert (np.diff(distances, axis=1) >= 0).all()
    only = fitted.kneighbors(log.test, 3, return_distance=False, n_probe=1)
    np.testing.assert_array_equal(only, fitted.search(log.test, 3, 1)[1])


def test_score_is_the_match_rate(make, log):
    _, best = exact_search(log.keys, log.test)
    est = make(n_partitions=6).fit(log.train)
    hit = est.search(log.test, 1, n_probe=1)[1] == best
    assert est.score(log.test) == pytest.approx(hit.mean())
    weight = np.arange(200.0)
    assert est.score(log.test, sample_weight=weight) == pytest.approx(
        np.average(hit[:, 0], weights=weight)
    )
    est = make(n_partitions=1).fit(log.train)
    apart = np.linalg.norm(est.transform(log.test)[:, None] - log.keys, axis=2)
    assert est.score(log.test) == pytest.approx(
        (apart.argmin(axis=1) == best[:, 0]).mean()
    )


def test_recall_scorer(fitted, log):
    assert recall_at_k_scorer(1)(fitted, log.test) == fitted.score(log.test)
    some = recall_at_k_scorer(20)(fitted, log.test)
    assert 0 < some < recall_at_k_scorer(20, n_probe=None)(fitted, log.test) == 1


def test_zero_query(fitted):
    zero = np.zeros((1, 12))
    assert np.isfinite(fitted.transform(zero)).all()
    np.testing.assert_array_equal(fitted.predict_partitions(zero), 0)


def test_extreme_query_norms(fitted, log):
    X = log.test.astype(float)
    for factor in (1e-200, 1e200):
        np.testing.assert_allclose(
            fitted.predict_partitions(X * factor) / factor,
            fitted.predict_partitions(X),
            rtol=1e-5,
        )
        np.testing.assert_array_equal(fitted.search(X * factor)[1], fitted.search(X)[1])


@pytest.mark.parametrize("n_probe", [1, 3, None])
def test_many_duplicates_are_in_order_of_their_index(make, log, n_probe):
    keys = np.tile(log.keys[:50], (40, 1))
    est = make(keys=keys, n_partitions=4).fit(log.train)
    _, indices = est.search(log.test, 3, n_probe=n_probe)
    np.testing.assert_array_equal(indices, indices[:, :1] + [0, 50, 100])
    assert (indices[:, 0] < 50).all()
