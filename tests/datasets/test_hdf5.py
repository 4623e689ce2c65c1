import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sk_amips import exact_search
from sk_amips.datasets import load_hdf5

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
    squares = ((data.query_vectors[:, None, :4] - arrays["train"]) ** 2).sum(axis=2)
    scores = data.query_vectors @ data.key_vectors.T
    own = (arrays["test"] ** 2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(own - 2 * scores, squares, rtol=1e-4, atol=1e-4)


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
    ],
)
def test_contradictions(write, arrays, change, message):
    arrays = {n: X for n, X in {**arrays, **change}.items() if X is not None}
    with pytest.raises(ValueError, match=message):
        load_hdf5(write(arrays))


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
