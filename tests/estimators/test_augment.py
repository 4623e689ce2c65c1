"""Noisy queries and noisy keys as further training queries."""

import numpy as np
import pytest

from sk_amips import CentroidRouter, exact_search
from sk_amips.metrics import routing_recall
from sk_amips.nn import unit_rows
from sk_amips.training import AmipsNet, TrainingData


@pytest.fixture
def trained_on(monkeypatch):
    """What the nets were given to train on."""
    seen = []

    def record(train):
        seen.append(train)
        return train

    fit = AmipsNet.partial_fit
    monkeypatch.setattr(
        AmipsNet,
        "partial_fit",
        lambda net, X, *args, **options: fit(net, record(X), *args, **options),
    )
    return seen


@pytest.mark.parametrize("n_partitions", [1, 8])
def test_sizes_and_exact_targets(make, log, trained_on, n_partitions):
    est = make(n_partitions=n_partitions, noisy_queries=0.5, noisy_keys=1.5)
    est.fit(log.train)
    (data,) = trained_on
    assert len(data) == len(log.train) * 3
    queries, scores = data.field("queries"), data.field("scores")
    directions = unit_rows(log.train)[1]
    np.testing.assert_array_equal(queries[: len(log.train)], directions)
    exact, _ = exact_search(log.keys, queries)
    np.testing.assert_allclose(scores.max(axis=1), exact[:, 0], rtol=1e-4)


def test_noise_stays_out_of_validation(make, log, trained_on):
    est = make(noisy_queries=1.0, early_stopping=True, validation_fraction=0.2)
    est.fit(log.train, groups=log.groups)
    (data,) = trained_on
    n_train = len(data) // 2
    assert len(data) == 2 * n_train
    assert 700 < n_train < 900
    # Noisy copies are near queries that are trained on, none of the others.
    queries = data.field("queries")
    assert (queries[:n_train] @ queries[n_train:].T).max(axis=0).min() > 0.6
    directions = unit_rows(log.train)[1]
    in_training = (directions[:, None, 0] == queries[None, :n_train, 0]).any(axis=1)
    assert not set(log.groups[in_training]) & set(log.groups[~in_training])


def test_copies_follow_the_weights(make, log, trained_on):
    weight = np.zeros(len(log.train))
    weight[:10] = 1.0
    make(noisy_queries=1.0, query_noise=0.0).fit(log.train, sample_weight=weight)
    (data,) = trained_on
    sources = unit_rows(log.train[:10])[1]
    copies = data.field("queries")[len(log.train) :]
    assert (copies @ sources.T).max(axis=1).min() > 1 - 1e-5
    np.testing.assert_array_equal(data.field("weight")[len(log.train) :], 1.0)


def test_partial_fit_adds_noise_too(make, log, trained_on):
    make(noisy_keys=0.1).partial_fit(log.train)
    assert len(trained_on[0]) == 1.1 * len(log.train)


def test_noise_needs_targets_that_can_be_searched(make, log):
    with pytest.raises(ValueError, match="leave y out"):
        make(noisy_keys=1.0).fit(log.train, np.ones(len(log.train)))


def test_auto_fills_up_short_logs(make, log, trained_on):
    few = log.train[:100]
    make(n_partitions=8).fit(few)
    assert len(trained_on[-1]) == 100 + 2 * (64 * 8 - 100)
    make(n_partitions=8, noisy_keys=0.0).fit(few)
    assert len(trained_on[-1]) == 64 * 8
    make(n_partitions=8).fit(log.train)  # there are enough
    make(n_partitions=1).fit(few)
    make(n_partitions=8).fit(few).partial_fit(few)
    assert [len(data) for data in trained_on[-4:]] == [len(log.train), 100, 924, 100]


@pytest.mark.parametrize("n_partitions", [1, 8])
def test_without_a_log_noisy_keys_stand_in(make, log, trained_on, n_partitions):
    est = make(n_partitions=n_partitions).fit(None)
    assert est.is_cold_
    queries = trained_on[0].field("queries")
    assert len(queries) == 2 * len(log.keys)
    directions = unit_rows(log.keys)[1]
    near = (queries @ directions.T).max(axis=1)
    assert 0.9 < near.mean() < 0.99  # 1 / sqrt(1 + 0.3^2)
    assert not est.partial_fit(log.train[:50]).is_cold_
    assert not make().fit(log.train).is_cold_
    half = make(n_partitions=n_partitions, noisy_keys=0.5, key_noise=0.0).fit(None)
    assert half.is_cold_
    queries = trained_on[-1].field("queries")
    assert len(queries) == len(log.keys) // 2
    assert (queries @ directions.T).max(axis=1).min() > 1 - 1e-5


def test_a_cold_start_validates_on_other_keys(make, log, monkeypatch):
    parts = []
    split = TrainingData.split

    def recorded(self, *args, **kwargs):
        parts.append(split(self, *args, **kwargs))
        return parts[-1]

    monkeypatch.setattr(TrainingData, "split", recorded)
    make(n_partitions=8, early_stopping=True, key_noise=0.0).fit(None)
    train, valid = (part.field("queries") for part in parts[0])
    assert len(train) > len(valid) > 0
    assert (valid @ train.T).max() < 1 - 1e-5


def test_cold_is_who_has_never_seen_a_query(make, log):
    est = make(n_partitions=8, warm_start=True).fit(log.train)
    assert not est.fit(None).is_cold_
    assert est.n_samples_seen_ == 2 * len(log.keys) + len(log.train)


def test_noisy_keys_that_are_queries_leave_out_those_that_validate(make, monkeypatch):
    taken = []
    monkeypatch.setattr(
        "sk_amips.estimators._base.noisy_queries",
        lambda rows, n, *args, **kwargs: (
            taken.append(len(rows)) or np.ones((n, rows.shape[1]), np.float32)
        ),
    )
    queries = np.random.default_rng(0).normal(size=(200, 6))
    est = make(keys=None, noisy_keys=1.0, noisy_queries=1.0, early_stopping=True)
    est.fit(queries)
    assert taken == [180, 180]


def test_a_cold_start_is_better_than_centroids(make, log):
    cold = make(n_partitions=20, max_epochs=30).fit(None)
    plain = CentroidRouter(log.keys, partition=cold.partition_).fit(log.train)
    _, best = exact_search(log.keys, log.test)
    best_lists = cold.partition_.labels_[best]
    recalls = [
        routing_recall(router.predict_partitions(log.test), best_lists, 2)
        for router in (cold, plain)
    ]
    assert recalls[0] > recalls[1]


def test_a_cold_start_needs_keys_and_nothing_else(make, log):
    with pytest.raises(ValueError, match="keys=None"):
        make(keys=None).fit(None)
    with pytest.raises(ValueError, match="leaves nothing to learn from"):
        make(noisy_keys=0.0).fit(None)
    with pytest.raises(ValueError, match="must be None where X is"):
        make().fit(None, groups=log.groups)
    broken = log.keys.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="keys contains NaN or infinity"):
        make(keys=broken).fit(None)
