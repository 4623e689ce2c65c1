"""On real embeddings: labels are exact, and a trained router beats the centroids."""

import faiss
import numpy as np
import pytest
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import normalize

from sk_amips import KeyNetRegressor, SupportNetRegressor, exact_search
from sk_amips.exact import probe_search
from sk_amips.metrics import match_rate, relative_key_error

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def squad(shared_data):
    """Paragraphs as keys, questions as queries, split by paragraph."""
    with np.load(shared_data / "squad_nqg.npz") as file:
        keys, queries = (
            normalize(file[name] * file[f"{name}_scale"][:, None].astype(np.float32))
            for name in ("keys", "queries")
        )
        split = GroupShuffleSplit(1, test_size=0.2, random_state=0)
        train, test = next(split.split(queries, groups=file["groups"]))
    return keys, queries[train], queries[test]


def test_labels_are_those_of_faiss(squad):
    keys, _, queries = squad
    scores, indices = exact_search(keys, queries, k=10)
    expected, places = faiss.knn(queries, keys, 10, faiss.METRIC_INNER_PRODUCT)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert (indices == places).mean() > 0.999


def test_router_beats_centroids(squad):
    keys, train, test = squad
    est = SupportNetRegressor(
        keys, n_partitions="sqrt", max_epochs=20, random_state=0
    ).fit(train)
    true_scores, _ = exact_search(keys, test)
    centroids = np.argsort(-test @ est.partition_.centroids_.T, axis=1)
    for n_probe in (1, 3, 10):
        by_net, _ = est.search(test, n_probe=n_probe)
        lists = centroids[:, :n_probe]
        by_centroid, _ = probe_search(keys, test, est.partition_, lists, 1)
        gain = match_rate(true_scores, by_net) - match_rate(true_scores, by_centroid)
        assert gain > 0.005, n_probe


def test_predicted_keys_are_nearer_than_the_query(squad):
    keys, train, test = squad
    _, best = exact_search(keys, test)
    for Estimator in (KeyNetRegressor, SupportNetRegressor):
        mapped = Estimator(keys, random_state=0).fit(train)
        error = relative_key_error(mapped.transform(test), keys[best[:, 0]], test)
        assert error < 1, Estimator
