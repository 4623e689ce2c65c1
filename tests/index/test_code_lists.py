import numpy as np
import pytest
import torch

from sk_amips.exact._codes import BFloat16Codes, Float32Codes, Int8Codes
from sk_amips.index import _code_lists
from sk_amips.index._code_lists import CodeLists
from sk_amips.index._engine import Engine, directions
from sk_amips.index._queries import encode
from sk_amips.index._rules import FixedProbes, ScoreStop
from sk_amips.partition import Partition, as_partition, spherical_kmeans


@pytest.fixture(params=[Int8Codes, BFloat16Codes, Float32Codes])
def coding(request, monkeypatch):
    monkeypatch.setattr(_code_lists, "fastest_on_cpu", lambda d: request.param)
    return request.param


def brute_force(keys, partition, queries, mask, k):
    scores = queries.astype(np.float64) @ keys.astype(np.float64).T
    scores[~mask.T[:, partition.labels_]] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@pytest.mark.parametrize("k", [1, 7, 40])
@pytest.mark.parametrize("norms", ["one", "many", "huge", "tiny"])
@pytest.mark.parametrize("products", [2**21, 500])
def test_the_best_keys_of_the_lists_visited(
    coding, rng, monkeypatch, k, norms, products
):
    monkeypatch.setattr(_code_lists, "_PRODUCTS", products)
    keys = rng.normal(size=(600, 13)).astype(np.float32)
    keys *= {"one": 1, "many": 10 ** rng.uniform(-6, 0, (600, 1))}.get(norms, 1)
    keys = keys.astype(np.float32) * np.float32(
        {"huge": 1e30, "tiny": 1e-30}.get(norms, 1)
    )
    partition = spherical_kmeans(keys, 12)
    lists = CodeLists(
        keys, partition, float(np.linalg.norm(keys.astype(float), axis=1).max())
    )
    X = rng.normal(size=(50, 13)).astype(np.float32) * rng.uniform(0.01, 100, (50, 1))
    mask = rng.random((12, 50)) < 0.4
    mask[:8] = True

    def chosen(unit):
        return torch.from_numpy(np.where(mask, 1.0, -1.0).astype(np.float32))

    class Chosen(FixedProbes):
        def first(self, scores):
            return mask.copy()

    engine = Engine(keys, lists, chosen)
    found = engine.search(X, k, Chosen(0))
    n_lists, n_keys = engine.count_visits(X, k, Chosen(0))
    scores, indices = brute_force(keys, partition, X, mask, k)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
    np.testing.assert_array_equal(n_lists, mask.sum(axis=0))
    np.testing.assert_array_equal(n_keys, partition.sizes_ @ mask)


@pytest.mark.parametrize("products", [2**21, 500])
def test_measured_errors_keep_the_result(coding, rng, monkeypatch, products):
    monkeypatch.setattr(_code_lists, "_PRODUCTS", products)
    keys = rng.normal(size=(2000, 200)).astype(np.float32)
    partition = spherical_kmeans(keys, 10)
    lists = CodeLists(keys, partition, 20.0)
    X = rng.normal(size=(80, 200)).astype(np.float32)
    lists.measure_errors(directions(X))
    assert 0 < lists.trust <= 1
    if coding is Int8Codes:
        assert lists.trust < 0.9
    mask = np.ones((10, 80), dtype=bool)
    least = np.full(80, -np.inf, dtype=np.float32)
    found = lists.search(lists.encode(directions(X)), mask, least, 5)
    _, best = brute_force(keys, partition, X, mask, 5)
    there = set(zip(found.query.tolist(), found.key.tolist(), strict=True))
    assert {(i, key) for i, row in enumerate(best.tolist()) for key in row} <= there


def test_one_key_a_list_and_zero_keys(coding, rng):
    keys = rng.normal(size=(6, 3)).astype(np.float32)
    keys[4:] = 0
    lists = CodeLists(keys, Partition(np.arange(6), keys), 5.0)
    X = rng.normal(size=(9, 3)).astype(np.float32)
    least = np.full(9, -np.inf, dtype=np.float32)
    mask = np.ones((6, 9), dtype=bool)
    found = lists.search(lists.encode(directions(X)), mask, least, 6)
    assert len(found.key) == 54


@pytest.mark.parametrize("k", [1, 20, 58])
def test_padded_lists_give_no_key_twice(coding, rng, k):
    sizes = 1, 17, 40, 140
    labels = np.repeat(np.arange(4), sizes)
    keys = -np.abs(rng.normal(size=(sum(sizes), 5))).astype(np.float32)
    keys[labels == 1] = 0
    partition = as_partition(keys, labels)
    lists = CodeLists(keys, partition, 10.0)
    assert lists.part == 8
    X = np.abs(rng.normal(size=(30, 5))).astype(np.float32)  # no score is positive
    mask = np.ones((4, 30), dtype=bool)
    mask[3] = False
    engine = Engine(keys, lists, lambda unit: torch.from_numpy(mask.astype(np.float32)))
    found = engine.search(X, k, FixedProbes(3))
    scores, indices = brute_force(keys, partition, X, mask, k)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-5)


def test_codes_are_small(rng):
    keys = rng.normal(size=(640, 64)).astype(np.float32)
    assert CodeLists(keys, spherical_kmeans(keys, 8), 20.0).nbytes <= keys.nbytes


def test_directions_of_extreme_queries(rng):
    X = rng.normal(size=(5, 4)) * np.array([1e-300, 1e300, 1, 1e-20, 1e20])[:, None]
    unit = directions(X)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 7, 90])
@pytest.mark.parametrize("d", [13, 16])
def test_one_query_finds_what_a_batch_finds(coding, rng, k, d):
    keys = rng.normal(size=(300, d)).astype(np.float32)
    keys[:40] = keys[40:80]
    partition = spherical_kmeans(keys, 12)
    lists = CodeLists(keys, partition, 10.0)
    assert lists.part > 1
    X = rng.normal(size=(40, d))
    predicted = rng.normal(size=(12, 40)).astype(np.float32)
    columns = {row.tobytes(): i for i, row in enumerate(directions(X))}

    def scorer(unit):
        some = [columns[row.tobytes()] for row in unit]
        return torch.from_numpy(predicted[:, some])

    engine = Engine(keys, lists, scorer)
    for rule in FixedProbes(4), ScoreStop(0.5, 0.3), ScoreStop(1.0, 0.1, margin=0.5):
        found = engine.search(X, k, rule)
        for i, x in enumerate(X):
            one = engine.search(x[None], k, rule)
            np.testing.assert_array_equal(one.indices, found.indices[i : i + 1])
            np.testing.assert_array_equal(one.scores, found.scores[i : i + 1])


def test_one_query_whose_lists_hold_fewer_keys_than_wanted(coding, rng):
    keys = rng.normal(size=(70, 8)).astype(np.float32)
    partition = as_partition(keys, np.repeat([0, 1], [9, 61]))
    lists = CodeLists(keys, partition, 10.0)
    mask = np.array([[True], [False]])
    least = np.full(1, -np.inf, dtype=np.float32)
    unit = directions(keys[:1])
    found = lists.search(lists.encode(unit), mask, least, 20)
    assert sorted(found.key) == list(range(9))
    assert least == -np.inf


def test_the_code_of_one_query_bounds_its_error(rng):
    unit = directions(rng.normal(size=(1, 203)))
    codes, factor, size, error = encode(unit, Int8Codes, 3.0)
    rest = 3.0 * unit[0].astype(np.float64) - codes.numpy()[0, :203] * float(factor[0])
    assert 0.99 * error[0] < np.linalg.norm(rest) <= error[0]
    assert 3.0 <= size[0] < 3.0 * 1.01
    batch = encode(np.repeat(unit, 2, axis=0), Int8Codes, 3.0)
    for one, two in zip((factor, size, error), batch[1:], strict=True):
        np.testing.assert_allclose(one[0], two[0], rtol=1e-4)
