"""What every router does, however it scores lists."""

import numpy as np
import pytest

from sk_amips import CentroidRouter, LinearRouter, SupportNetRegressor, exact_search


@pytest.fixture
def fitted(make, log):
    return make().fit(log.train)


# --- prediction and search


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_and_dtypes(fitted, log, dtype):
    X = log.test.astype(dtype)
    assert fitted.predict_partitions(X).shape == (500, 20)
    assert fitted.predict(X).shape == (500,)
    scores, indices = fitted.search(X, 3, n_probe=2)
    assert scores.shape == indices.shape == (500, 3)
    assert fitted.predict_partitions(X).dtype == fitted.predict(X).dtype == dtype
    assert scores.dtype == dtype
    assert indices.dtype == np.int64


def test_prediction_is_that_of_the_best_list(fitted, log):
    scores = fitted.predict_partitions(log.test)
    np.testing.assert_array_equal(fitted.predict(log.test), scores.max(axis=1))


def test_one_query_at_a_time(fitted, log):
    together = fitted.predict_partitions(log.test[:5])
    alone = [fitted.predict_partitions(x[None])[0] for x in log.test[:5]]
    np.testing.assert_allclose(alone, together, rtol=1e-10)


def test_blocks_of_queries_do_not_matter(fitted, log, monkeypatch):
    scores = fitted.predict_partitions(log.test)
    found = fitted.search(log.test, 2, n_probe=3)
    monkeypatch.setattr("sk_amips.routing._base.BLOCK_SIZE", 20 * 70)
    np.testing.assert_allclose(fitted.predict_partitions(log.test), scores, rtol=1e-10)
    for got, expected in zip(fitted.search(log.test, 2, n_probe=3), found, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("n_probe", [None, 20, 21])
def test_search_of_all_lists_is_exact(fitted, log, n_probe):
    scores, indices = exact_search(log.keys, log.test, 7)
    found = fitted.search(log.test, 7, n_probe=n_probe)
    np.testing.assert_array_equal(found[1], indices)
    np.testing.assert_array_equal(found[0], scores)


@pytest.mark.parametrize("n_probe", [1, 3, 19])
def test_search_visits_the_best_lists_and_returns_true_scores(fitted, log, n_probe):
    order = np.argsort(-fitted.predict_partitions(log.test), axis=1)[:, :n_probe]
    visited = fitted.partition_.labels_[None, :, None] == order[:, None, :]
    true = log.test @ log.keys.T
    expected = np.sort(np.where(visited.any(axis=2), true, -np.inf), axis=1)[:, :-5:-1]
    scores, indices = fitted.search(log.test, 4, n_probe=n_probe)
    np.testing.assert_allclose(scores, expected, rtol=1e-12)
    found = indices >= 0
    np.testing.assert_array_equal(found, np.isfinite(scores))
    rows = np.nonzero(found)[0]
    np.testing.assert_allclose(true[rows, indices[found]], scores[found], rtol=1e-12)


def test_kneighbors(fitted, log):
    scores, indices = fitted.search(log.test, 3)
    distances, neighbors = fitted.kneighbors(log.test, 3)
    np.testing.assert_array_equal(neighbors, indices)
    np.testing.assert_array_equal(distances, -scores)
    only = fitted.kneighbors(log.test, 3, return_distance=False, n_probe=1)
    np.testing.assert_array_equal(only, fitted.search(log.test, 3, 1)[1])


def test_score_is_the_match_rate_in_the_first_list(fitted, log):
    _, best = exact_search(log.keys, log.test)
    hit = (fitted.search(log.test, n_probe=1)[1] == best)[:, 0]
    assert 0 < hit.mean() < 1
    assert fitted.score(log.test) == hit.mean()
    weight = np.arange(500.0)
    assert fitted.score(log.test, sample_weight=weight) == pytest.approx(
        np.average(hit, weights=weight)
    )


def test_zero_query(fitted, log):
    X = np.r_[np.zeros((1, 12)), log.test[:2]]
    assert not np.isnan(fitted.predict_partitions(X)).any()
    np.testing.assert_array_equal(fitted.search(X, n_probe=2)[0][0], 0)
    np.testing.assert_allclose(
        fitted.predict_partitions(X)[1:], fitted.predict_partitions(log.test[:2])
    )


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_query_norm_does_not_change_the_order_of_lists(fitted, log, factor):
    expected = fitted.predict_partitions(log.test)
    got = fitted.predict_partitions(factor * log.test)
    np.testing.assert_allclose(got / factor, expected, rtol=1e-10)
    np.testing.assert_array_equal(
        fitted.search(factor * log.test, n_probe=2)[1],
        fitted.search(log.test, n_probe=2)[1],
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-30, 1e-3, 1e30])
def test_unit_of_keys_does_not_matter(make, log, unit, dtype):
    train, X = log.train.astype(dtype), log.test.astype(dtype)
    usual = make().fit(train)
    scaled = make(keys=unit * log.keys, partition=usual.partition_.labels_).fit(train)
    scores = scaled.predict_partitions(X)
    assert not np.isnan(scores).any()
    if getattr(scaled, "loss", None) != "cross_entropy":
        expected = usual.predict_partitions(X)
        size = np.abs(expected).max()
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(scores / unit, expected, atol=1e-5 * size)
    np.testing.assert_array_equal(
        scaled.search(X, n_probe=1)[1], usual.search(X, n_probe=1)[1]
    )


# --- keys and lists


def test_queries_are_the_keys_by_default(make, log):
    router = make(keys=None).fit(log.train)
    np.testing.assert_array_equal(router.keys_, log.train)
    assert router.partition_.n_partitions == 20


def test_number_of_lists(make, log):
    assert make(n_partitions="sqrt").fit(log.train).partition_.n_partitions == 24
    assert make(n_partitions="auto").fit(log.train).partition_.n_partitions == 49
    single = make(n_partitions=1).fit(log.train)
    assert single.predict_partitions(log.test).shape == (500, 1)
    assert single.score(log.test) == 1


@pytest.mark.parametrize("form", [list, np.asarray, np.uint8])
def test_given_labels_are_the_lists(make, log, form):
    labels = np.arange(600) % 7
    router = make(partition=form(labels)).fit(log.train)
    np.testing.assert_array_equal(router.partition_.labels_, labels)
    assert router.predict_partitions(log.test).shape == (500, 7)


def test_lists_of_another_estimator(make, log):
    lists = CentroidRouter(log.keys, n_partitions=5).fit(log.train).partition_
    assert make(partition=lists).fit(log.train).partition_ is lists
    net = SupportNetRegressor(log.keys, n_partitions=5, max_epochs=1).fit(log.train)
    assert make(partition=net.partition_).fit(log.train).partition_ is net.partition_


def test_lists_of_one_key(make, log):
    router = make(keys=log.keys[:30], partition=np.arange(30)).fit(log.train)
    scores = router.predict_partitions(log.test)
    assert not np.isnan(scores).any()
    if not isinstance(router, LinearRouter):
        np.testing.assert_allclose(scores, log.test @ log.keys[:30].T, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(599, dtype=int), "599 labels for 600 keys"),
        (np.zeros(600), "integer labels"),
        (np.full(600, "a"), "integer labels"),
        (np.arange(600) - 1, "integer labels"),
        (np.arange(600) + 1, "list empty"),
        (2 * (np.arange(600) % 2), "list empty"),
        (np.zeros((600, 2), dtype=int), "1d array"),
        ("abc", "'partition' parameter"),
        (3, "'partition' parameter"),
    ],
)
def test_bad_lists(make, log, labels, message):
    with pytest.raises(ValueError, match=message):
        make(partition=labels).fit(log.train)
