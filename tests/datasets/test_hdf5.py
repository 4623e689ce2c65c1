import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sk_amips import exact_search
from sk_amips.datasets import load_hdf5
from sk_amips.metrics import recall_at_k

h5py = pytest.importorskip("h5py")


def nearest(train, test, distance, k=3):
    """Rows of the nearest vectors, by the definition of the distance."""
    train, test = train.astype(float), test.astype(float)
    if distance == "euclidean":
        near = -((test[:, None] - train) ** 2).sum(axis=2)
    else:
        near = test @ train.T
        if distance in ("angular", "cosine"):
            near = near / np.linalg.norm(train, axis=1)
    return np.argsort(-near, axis=1)[:, :k]


@pytest.fixture
def arrays(rng):
    # Norms and offsets differ, so that the distances disagree.
    train = (rng.normal(size=(60, 4)) + 1) * rng.uniform(0.2, 3, size=(60, 1))
    return {
        "train": train.astype(np.float32),
        "test": rng.normal(size=(20, 4)).astype(np.float32),
        "learn": rng.normal(size=(30, 4)).astype(np.float32),
    }


@pytest.fixture
def write(tmp_path):
    def write(arrays, distance="ip", options=None, **settings):
        path = tmp_path / "set.hdf5"
        with h5py.File(path, "w", **settings) as file:
            if distance is not None:
                file.attrs["distance"] = distance
            for name, X in arrays.items():
                file.create_dataset(name, data=X, **(options or {}))
        return path

    return write


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint8])
@pytest.mark.parametrize("distance", ["dot", "ip", "angular", "cosine", "euclidean"])
def test_neighbors_have_the_largest_inner_products(write, rng, distance, dtype):
    low = 0 if dtype == np.uint8 else -100
    arrays = {
        "train": rng.integers(low, 101, size=(80, 5)).astype(dtype),
        "test": rng.integers(low, 101, size=(20, 5)).astype(dtype),
    }
    arrays["neighbors"] = nearest(arrays["train"], arrays["test"], distance)
    data = load_hdf5(write(arrays, distance))
    assert data.neighbors.dtype == np.int64
    scores, _ = exact_search(data.key_vectors, data.query_vectors, 3)
    found = np.einsum(
        "nd,nkd->nk",
        data.query_vectors.astype(float),
        data.key_vectors[data.neighbors].astype(float),
    )
    np.testing.assert_allclose(found, scores, rtol=1e-5)


def test_distances_disagree(arrays):
    found = [nearest(arrays["train"], arrays["test"], d, 1) for d in ("ip", "cosine")]
    found.append(nearest(arrays["train"], arrays["test"], "euclidean", 1))
    assert not any(np.array_equal(found[i - 1], found[i]) for i in range(3))


@pytest.mark.parametrize("settings", [{}, {"userblock_size": 512}])
def test_stored_in_one_piece(write, arrays, settings):
    data = load_hdf5(write(arrays, **settings))
    for name, X in zip(("key", "query", "learn"), arrays.values(), strict=True):
        read = data[f"{name}_vectors"]
        assert isinstance(read, np.memmap)
        assert not read.flags.writeable
        assert_array_equal(read, X)
    assert data.distance == "ip"
    assert "60 keys and 20 queries" in data.DESCR


@pytest.mark.parametrize(
    "options", [{"chunks": True}, {"compression": "gzip"}, {"dtype": ">f8"}]
)
def test_stored_otherwise(write, arrays, options):
    data = load_hdf5(write(arrays, options=options))
    assert_array_equal(data.key_vectors, arrays["train"])
    assert_array_equal(data.query_vectors, arrays["test"])


def test_unit_vectors_stay_on_disk(write, arrays):
    unit = {n: X / np.linalg.norm(X, axis=1)[:, None] for n, X in arrays.items()}
    data = load_hdf5(write(unit, "angular"))
    assert isinstance(data.key_vectors, np.memmap)
    assert_array_equal(data.key_vectors, unit["train"])


def test_zero_vectors_stay_zero(write, arrays):
    arrays["train"][3] = 0
    data = load_hdf5(write(arrays, "cosine"))
    norms = np.linalg.norm(data.key_vectors, axis=1)
    np.testing.assert_allclose(norms, np.arange(60) != 3, rtol=1e-6)


def test_euclidean_needs_one_more_feature(write, arrays):
    data = load_hdf5(write(arrays, "euclidean"))
    assert data.key_vectors.shape == (60, 5)
    assert data.key_vectors.dtype == np.float32
    assert_array_equal(data.query_vectors[:, -1], 1)
    assert_array_equal(data.learn_vectors[:, -1], 1)
    squares = ((arrays["test"][:, None] - arrays["train"]) ** 2).sum(axis=2)
    scores = data.query_vectors @ data.key_vectors.T
    own = (data.query_vectors[:, :-1] ** 2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(own - 2 * scores, squares, rtol=1e-4, atol=1e-4)


def test_euclidean_scores_do_not_drown_far_from_zero(write, rng):
    """Where all keys lie far away, wrong ones are no ties of the right ones."""
    arrays = {
        "train": 1000 + rng.normal(size=(500, 8)),
        "test": 1000 + rng.normal(size=(50, 8)),
    }
    data = load_hdf5(write(arrays, "euclidean"))
    scores, best = exact_search(data.key_vectors, data.query_vectors, 10)
    assert_array_equal(
        np.sort(best), np.sort(nearest(*arrays.values(), "euclidean", 10))
    )
    wrong = rng.integers(500, size=(50, 10))
    found = np.einsum("nd,nkd->nk", data.query_vectors, data.key_vectors[wrong])
    assert recall_at_k(scores, found, wrong) < 0.1


def test_optional_parts(write, arrays):
    del arrays["learn"]
    data = load_hdf5(write(arrays))
    assert "learn_vectors" not in data
    assert "neighbors" not in data


@pytest.mark.parametrize("distance", ["IP", b"ip", np.bytes_(b"ip")])
def test_spellings(write, arrays, distance):
    assert load_hdf5(write(arrays, distance)).distance == "ip"


def test_the_distance_asked_for(write, arrays):
    path = write(arrays, "hamming")
    with pytest.raises(ValueError, match="got 'hamming': nearness has to be an inner"):
        load_hdf5(path)
    assert load_hdf5(path, distance="euclidean").distance == "euclidean"
    with pytest.raises(ValueError, match="give distance"):
        load_hdf5(write(arrays, None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": None}, r"got no \['train'\]: it has \['learn', 'test'\]"),
        ({"test": np.ones((3, 9))}, "X has 9 features, keys have 4"),
        ({"learn": np.ones((3, 9))}, "X has 9 features, keys have 4"),
        ({"train": np.ones((0, 4))}, "at least one row"),
        ({"train": np.ones(4)}, r"of shape \(4,\)"),
        ({"train": np.ones((2, 4), bool)}, "got bool"),
        ({"neighbors": np.zeros((3, 2), int)}, "each of its 20 queries"),
        ({"neighbors": np.full((20, 2), 60)}, "from 0 to 59, .* got 60 to 60"),
        ({"neighbors": np.full((20, 2), -1)}, "got -1 to -1"),
        ({"neighbors": np.full((20, 2), 0.7)}, "matrix of integers .* got float64"),
        ({"neighbors": np.full((20, 2), b"a")}, "matrix of integers .* got |S1"),
        ({"neighbors": np.zeros(20, int)}, r"of shape \(20,\)"),
    ],
)
def test_contradictions(write, arrays, change, message):
    arrays = {n: X for n, X in {**arrays, **change}.items() if X is not None}
    with pytest.raises(ValueError, match=message):
        load_hdf5(write(arrays))


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("name", ["train", "test"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_are_finite_where_they_are_read(write, arrays, distance, name, number):
    arrays[name][3:5, 2] = number
    match = rf"{name} of .* contains NaN or infinity \(first in row 3\)"
    with pytest.raises(ValueError, match=match):
        load_hdf5(write(arrays, distance))


@pytest.mark.parametrize("name", ["train", "test", "learn", "neighbors"])
@pytest.mark.parametrize(
    "options",
    [{}, {"chunks": (1024, 4)}, {"chunks": (1024, 4), "compression": "gzip"}],
    ids=["one piece", "chunks", "compressed"],
)
@pytest.mark.parametrize("n_written", [0, 1])
def test_matrices_are_as_large_as_they_say(write, arrays, name, options, n_written):
    """A small file that says it holds 32 GiB is not believed."""
    path = write({n: X for n, X in arrays.items() if n != name})
    if n_written and "chunks" not in options:
        pytest.skip("writing a row allocates all of them")
    dtype = "i4" if name == "neighbors" else "f4"
    with h5py.File(path, "a") as file:
        added = file.create_dataset(name, (2**31, 4), dtype, **options)
        added[:n_written] = 0
    assert path.stat().st_size < 50_000
    with pytest.raises(ValueError, match=f"{name} of .* bytes: .* are stored"):
        load_hdf5(path)


@pytest.mark.parametrize("name", ["train", "learn", "neighbors"])
def test_what_is_no_matrix(write, arrays, name):
    arrays.pop(name, None)
    path = write(arrays)
    with h5py.File(path, "a") as file:
        file.create_group(name)
    with pytest.raises(ValueError, match=f"{name} of .* must be a matrix, got Group"):
        load_hdf5(path)
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = h5py.SoftLink("/nowhere")
    with pytest.raises(ValueError, match=f"{name} of .* must be a matrix, got None"):
        load_hdf5(path)


def test_matrices_of_other_files(write, arrays, tmp_path):
    other = tmp_path / "other.bin"
    other.write_bytes(arrays["train"].tobytes())
    layout = h5py.VirtualLayout((20, 4), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "absent.hdf5", "test", (20, 4))
    test = arrays.pop("test")
    path = write({"learn": test})
    with h5py.File(path, "a") as file:
        file.create_dataset("train", (60, 4), "f4", external=[(other, 0, 960)])
        file["test"] = test
    with pytest.raises(ValueError, match=r"train of .* must lie in this file"):
        load_hdf5(path)
    path = write({"train": arrays["train"]})
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("test", layout)
    with pytest.raises(ValueError, match=r"test of .* must lie in this file"):
        load_hdf5(path)


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_truncated(write, arrays, keep):
    path = write(arrays)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"set\.hdf5 is not a whole HDF5 file"):
        load_hdf5(path)


def test_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_hdf5(tmp_path / "absent.hdf5")


def test_without_h5py(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"sk-amips\[datasets\]"):
        load_hdf5(tmp_path / "set.hdf5")
