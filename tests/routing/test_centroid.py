import numpy as np

from sk_amips import CentroidRouter


def test_scores_are_means_over_the_keys_of_a_list(log):
    router = CentroidRouter(log.keys, n_partitions=9).fit(log.train)
    labels = router.partition_.labels_
    inner = log.test @ log.keys.T
    means = [inner[:, labels == j].mean(axis=1) for j in range(9)]
    np.testing.assert_allclose(
        router.predict_partitions(log.test), np.stack(means, axis=1), atol=1e-5
    )


def test_scores_are_lower_bounds_of_the_support_values(log):
    router = CentroidRouter(log.keys, n_partitions=9).fit(log.train)
    inner = log.test @ log.keys.T
    lists = [inner[:, router.partition_.labels_ == j].max(axis=1) for j in range(9)]
    bound = np.stack(lists, axis=1) + 1e-5
    assert (router.predict_partitions(log.test) <= bound).all()


def test_training_queries_do_not_matter(log):
    first = CentroidRouter(log.keys, random_state=0).fit(log.train)
    second = CentroidRouter(log.keys, random_state=0).fit(-log.test)
    np.testing.assert_array_equal(
        first.predict_partitions(log.test), second.predict_partitions(log.test)
    )


def test_short_float32_queries_and_keys(log):
    usual = CentroidRouter(log.keys, random_state=0).fit(log.train)
    lists = usual.partition_.labels_
    router = CentroidRouter(1e-25 * log.keys, partition=lists).fit(log.train)
    np.testing.assert_array_equal(
        router.search((1e-25 * log.test).astype(np.float32), n_probe=1)[1],
        usual.search(log.test.astype(np.float32), n_probe=1)[1],
    )
