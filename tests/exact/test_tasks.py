"""The same results from whatever computes: threads, processes, a cluster."""

import os
import pickle

import joblib
import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sk_amips import SupportNetRegressor, exact_search
from sk_amips.exact import _tasks, partition_search
from sk_amips.exact._tasks import in_tasks, other_processes
from sk_amips.partition import Partition

D, C = 16, 7


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch):
    """Several blocks of queries, and several shards of the keys for each."""
    monkeypatch.setattr(_tasks, "_QUERIES", 100)
    monkeypatch.setattr(_tasks, "_LEAST_QUERIES", 60)
    monkeypatch.setattr(_tasks, "_LEAST_KEYS", 150)


@pytest.fixture
def queries(rng):
    return rng.normal(size=(170, D)).astype(np.float32)


@pytest.fixture
def partition(rng):
    return Partition(rng.integers(C, size=900), np.zeros((C, D)))


@pytest.fixture
def mapped(tmp_path, rng):
    """Keys in a file, some of them equal."""
    keys = rng.normal(size=(900, D)).astype(np.float32)
    keys[600:] = keys[:300]
    np.save(tmp_path / "keys.npy", keys)
    return np.load(tmp_path / "keys.npy", mmap_mode="r")


def search_all(keys, queries, partition, **kwargs):
    return [
        *exact_search(keys, queries, 5, **kwargs),
        *partition_search(keys, queries, partition, **kwargs),
        partition_search(keys, queries, partition, with_indices=False, **kwargs)[0],
    ]


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
@pytest.mark.parametrize("in_file", [True, False])
def test_backends_of_joblib(mapped, queries, partition, backend, in_file):
    keys = mapped if in_file else np.array(mapped)
    expected = search_all(keys, queries, partition)
    with parallel_config(backend, n_jobs=2):
        assert other_processes(None) == (0 if backend == "threading" else 2)
        assert_same(search_all(keys, queries, partition), expected)


def test_kept_results_are_the_same_as_well(tmp_path, mapped, queries, partition):
    memory = str(tmp_path / "kept")
    expected = search_all(mapped, queries, partition)
    with parallel_config("loky", n_jobs=2):
        found = search_all(mapped, queries, partition, memory=memory)
    assert_same(found, expected)
    assert_same(search_all(mapped, queries, partition, memory=memory), expected)


@pytest.mark.parametrize("kept", [True, False])
def test_progress_tells_of_all(tmp_path, mapped, queries, partition, kept):
    told = []
    memory = str(tmp_path / "kept") if kept else None
    for _ in range(2):
        with parallel_config("loky", n_jobs=2):
            partition_search(
                mapped, queries, partition, progress=told.append, memory=memory
            )
        assert sum(told) == pytest.approx(len(queries))
        told.clear()


def teller(file=None):
    """A search whose results say what they were made of.

    It kills the process that is the first to come without finding a file. A function
    within a function is sent to other processes as it is, and not by its name.
    """

    def search(queries, *, keys, names):
        if file is not None and not os.path.exists(file):
            open(file, "x").close()
            os._exit(1)
        np.testing.assert_array_equal(keys[:, 0], names)
        return queries[:, :1] + names[:1], np.zeros((len(queries), 1), dtype=int)

    return search


def side_by_side(one, other):
    return tuple(np.hstack(pair) for pair in zip(one, other, strict=True))


def assert_is_made_of_all_parts(found, queries, names):
    scores, rows = found
    assert scores.shape == rows.shape == (len(queries), rows.shape[1])
    assert rows.shape[1] > 1
    np.testing.assert_array_equal(rows, np.tile(np.unique(rows), (len(queries), 1)))
    np.testing.assert_array_equal(scores, queries[:, :1] + names[rows])


def test_parts_are_put_together_in_their_order(mapped, queries):
    names = np.array(mapped[:, 0])
    kwargs = {"keys": mapped, "by_key": {"names": names}, "bytes_per_query": 1}
    found = in_tasks(queries, teller(), side_by_side, n_workers=2, **kwargs)
    assert_is_made_of_all_parts(found, queries, names)


def test_keys_in_a_file_are_sent_as_its_name(monkeypatch, mapped, queries, partition):
    sizes = []

    class Spy(joblib.Parallel):
        def __call__(self, tasks):
            tasks = list(tasks)
            sizes.extend(len(pickle.dumps(task)) for task in tasks)
            return super().__call__(tasks)

    monkeypatch.setattr(_tasks, "Parallel", Spy)
    with parallel_config("loky", n_jobs=2):
        exact_search(mapped, queries, 5)
    assert len(sizes) > 2
    # The queries of a block, and little else.
    assert max(sizes) < 100 * D * 4 + 4000 < mapped.nbytes


# --- Dask


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_dask(client, mapped, queries, partition):
    expected = search_all(mapped, queries, partition)
    with parallel_config("dask"):
        assert_same(search_all(mapped, queries, partition), expected)
        in_memory = search_all(np.array(mapped), queries, partition)
    assert_same(in_memory, expected)


def test_a_task_of_a_killed_worker_is_done_again(client, tmp_path, mapped, queries):
    names = np.array(mapped[:, 0])
    file = tmp_path / "died"
    kwargs = {"keys": mapped, "by_key": {"names": names}, "bytes_per_query": 1}
    with parallel_config("dask"):
        found = in_tasks(queries, teller(file), side_by_side, n_workers=2, **kwargs)
    assert file.exists()
    assert_is_made_of_all_parts(found, queries, names)


@pytest.mark.parametrize(
    "backend", [pytest.param("loky", marks=pytest.mark.slow), "dask"]
)
def test_grid_search(request, mapped, queries, backend):
    if backend == "dask":
        request.getfixturevalue("client")
    net = SupportNetRegressor(mapped, max_epochs=2, random_state=0, device="cpu")
    grid = GridSearchCV(net, {"n_partitions": [1, 6]}, cv=2, error_score="raise")
    expected = grid.fit(queries).cv_results_["mean_test_score"]
    assert expected.std() > 0
    with parallel_config(backend, n_jobs=2):
        found = clone(grid).set_params(n_jobs=2).fit(queries)
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], expected)
    assert found.best_estimator_.keys is mapped
