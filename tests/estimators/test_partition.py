"""Lists of keys that are given rather than found."""

import numpy as np
import pytest
from sklearn.base import clone

from sk_amips import CentroidRouter, KeyNetRegressor, SupportNetRegressor
from sk_amips.partition import Partition

LABELS = np.arange(400) % 7


@pytest.mark.parametrize("form", [list, np.asarray, np.int64, np.uint8])
def test_given_labels_are_the_lists(make, log, form):
    est = make(partition=form(LABELS)).fit(log.train)
    np.testing.assert_array_equal(est.partition_.labels_, LABELS)
    assert est.predict_partitions(log.test).shape == (200, 7)
    _, indices = est.search(log.test, n_probe=1)
    best = est.predict_partitions(log.test).argmax(axis=1)
    np.testing.assert_array_equal(LABELS[indices[:, 0]], best)


def test_given_lists_go_ahead_of_their_number(make, log):
    est = make(partition=LABELS, n_partitions=3).fit(log.train)
    assert est.partition_.n_partitions == 7


def test_lists_are_shared_between_estimators(make, log):
    lists = CentroidRouter(log.keys, n_partitions=5).fit(log.train).partition_
    est = make(partition=lists).fit(log.train)
    assert est.partition_ is lists
    other = KeyNetRegressor(log.keys, partition=est.partition_, max_epochs=1)
    assert other.fit(log.train).partition_ is lists
    assert SupportNetRegressor(log.keys, partition=lists).partition is lists


def test_same_lists_same_network(make, log):
    """However they are given."""
    lists = make(partition=LABELS).fit(log.train).partition_
    assert isinstance(lists, Partition)
    first, second = (
        make(partition=partition).fit(log.train).predict(log.test)
        for partition in (LABELS, lists)
    )
    np.testing.assert_array_equal(first, second)


def test_lists_are_kept_when_learning_goes_on(make, log):
    est = make(partition=LABELS, warm_start=True).fit(log.train)
    lists = est.partition_
    assert est.fit(log.train).partial_fit(log.train).partition_ is lists


def test_clone_shares_lists(make, log):
    lists = make(partition=LABELS).fit(log.train).partition_
    for partition in (LABELS, lists):
        copy = clone(make(partition=partition))
        assert copy.partition is partition
        assert copy.keys is log.keys


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        (LABELS[1:], "399 labels for 400 keys"),
        (LABELS / 2, "integer labels"),
        (LABELS - 1, "integer labels"),
        (LABELS + 1, "list empty"),
        ("abc", "'partition' parameter"),
    ],
)
def test_bad_lists(make, log, partition, message):
    est = make(partition=partition)
    with pytest.raises(ValueError, match=message):
        est.fit(log.train)
    assert not hasattr(est, "partition_")
    assert est.set_params(partition=LABELS).fit(log.train).score(log.test) > 0
