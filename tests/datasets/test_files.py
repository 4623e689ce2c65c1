import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sk_amips import exact_search
from sk_amips.datasets import load_vectors, save_vectors

TYPES = {
    ".npy": np.float64,
    ".fvecs": np.float32,
    ".bvecs": np.uint8,
    ".ivecs": np.int32,
    ".fbin": np.float32,
    ".u8bin": np.uint8,
    ".i8bin": np.int8,
    ".ibin": np.int32,
}
VECS = [".fvecs", ".bvecs", ".ivecs"]
BIN = [".fbin", ".u8bin", ".i8bin", ".ibin"]


@pytest.fixture
def matrix(rng):
    def make(suffix, n=7, d=5):
        return rng.integers(0, 100, size=(n, d)).astype(TYPES[suffix])

    return make


@pytest.mark.parametrize("suffix", TYPES)
@pytest.mark.parametrize("shape", [(7, 5), (1, 3), (4, 1), (1, 1)])
def test_round_trip(tmp_path, matrix, suffix, shape):
    X = matrix(suffix, *shape)
    path = tmp_path / f"x{suffix}"
    assert save_vectors(path, X) is None
    for mode in ("r", "c", None):
        read = load_vectors(str(path), mmap_mode=mode)
        assert read.dtype == X.dtype
        assert_array_equal(read, X)
        assert isinstance(read, np.memmap) == (mode is not None)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", TYPES)
def test_modes(tmp_path, matrix, suffix):
    path = tmp_path / f"x{suffix}"
    save_vectors(path, matrix(suffix))
    before = path.read_bytes()
    read = load_vectors(path)
    assert not read.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        read[0, 0] = 1
    for mode in ("c", None):
        load_vectors(path, mmap_mode=mode)[:] = 3
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", TYPES)
def test_many_blocks(tmp_path, suffix):
    X = np.arange(40_000, dtype=TYPES[suffix] if suffix != ".i8bin" else np.uint8)
    X = (X[:, None] % 100).astype(TYPES[suffix])
    save_vectors(tmp_path / f"x{suffix}", X)
    assert_array_equal(load_vectors(tmp_path / f"x{suffix}"), X)


def test_bytes_of_rows(tmp_path):
    path = tmp_path / "x.FVECS"
    path.write_bytes(
        b"".join(
            np.array([2], "<i4").tobytes() + np.array(row, "<f4").tobytes()
            for row in ([1.5, -2], [3, 4])
        )
    )
    assert_array_equal(load_vectors(path), [[1.5, -2], [3, 4]])
    written = tmp_path / "y.fvecs"
    save_vectors(written, [[1.5, -2], [3, 4]])
    assert written.read_bytes() == path.read_bytes()


def test_bytes_in_one_piece(tmp_path):
    path = tmp_path / "x.i8bin"
    path.write_bytes(np.array([1, 3], "<u4").tobytes() + b"\x01\xff\x80")
    assert_array_equal(load_vectors(path), [[1, -1, -128]])


def test_neighbours_with_distances(tmp_path, rng):
    ids = rng.integers(1000, size=(4, 10)).astype("<i4")
    distances = rng.random((4, 10)).astype("<f4")
    path = tmp_path / "truth.ibin"
    header = np.array(ids.shape, "<u4").tobytes()
    path.write_bytes(header + ids.tobytes() + distances.tobytes())
    assert_array_equal(load_vectors(path), ids)


@pytest.mark.parametrize("suffix", TYPES)
def test_search_in_the_map(tmp_path, rng, suffix):
    keys = rng.integers(0, 100, size=(50, 6))
    queries = rng.normal(size=(5, 6))
    save_vectors(tmp_path / f"keys{suffix}", keys)
    scores, rows = exact_search(load_vectors(tmp_path / f"keys{suffix}"), queries, 3)
    expected = np.sort(queries @ keys.T, axis=1)[:, ::-1][:, :3]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    np.testing.assert_allclose(
        (queries[:, None] * keys[rows]).sum(axis=2), expected, rtol=1e-5
    )


@pytest.mark.parametrize("suffix", TYPES)
def test_a_map_saved_over_its_own_file(tmp_path, matrix, suffix):
    X = matrix(suffix)
    path = tmp_path / f"x{suffix}"
    save_vectors(path, X)
    save_vectors(path, load_vectors(path)[2:])
    assert_array_equal(load_vectors(path), X[2:])


def test_files_of_the_user_are_left_alone(tmp_path, matrix):
    (tmp_path / "x.npy.part").write_text("mine")
    save_vectors(tmp_path / "x.npy", matrix(".npy"))
    assert (tmp_path / "x.npy.part").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("suffix", TYPES)
@pytest.mark.parametrize("cut", [1, 3, 4])
def test_truncated(tmp_path, matrix, suffix, cut):
    path = tmp_path / f"x{suffix}"
    save_vectors(path, matrix(suffix))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match=rf"x\{suffix}"):
        load_vectors(path)


@pytest.mark.parametrize(
    "change",
    [
        ("(7, 5)", "(9223372036854775808, 5)"),
        ("(7, 5)", "(True, 5)"),
        ("(7, 5)", "(2147483648, 5)"),
        ("(7, 5)", "(-7, 5)"),
        ("(7, 5)", "(1099511627776, 1099511627776)"),
        ("'<f8'", "["),
    ],
)
def test_headers_of_npy_that_make_no_sense(tmp_path, matrix, change):
    np.save(tmp_path / "x.npy", matrix(".npy"))
    raw = (tmp_path / "x.npy").read_bytes()
    header, numbers = raw[10:128].decode("latin1"), raw[128:]
    assert change[0] in header
    header = header.replace(*change).rstrip().ljust(117)[:117] + "\n"
    (tmp_path / "x.npy").write_bytes(raw[:10] + header.encode("latin1") + numbers)
    with pytest.raises(ValueError, match=r"x\.npy"):
        load_vectors(tmp_path / "x.npy")


@pytest.mark.parametrize("suffix", [*VECS, *BIN])
def test_headers_of_more_rows_than_there_are(tmp_path, suffix):
    """Nothing is allocated for what a header alone says."""
    path = tmp_path / f"x{suffix}"
    header = [2**31 - 1] * 2 if suffix in VECS else [2**31, 4]
    path.write_bytes(np.array(header, "<u4").tobytes() + bytes(16))
    with pytest.raises(ValueError, match="bytes"):
        load_vectors(path)


@pytest.mark.parametrize("suffix", TYPES)
def test_too_long(tmp_path, matrix, suffix):
    path = tmp_path / f"x{suffix}"
    save_vectors(path, matrix(suffix))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="bytes"):
        load_vectors(path)


@pytest.mark.parametrize("suffix", TYPES)
@pytest.mark.parametrize("n_bytes", [0, 2])
def test_empty_file(tmp_path, suffix, n_bytes):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"\0" * n_bytes)
    with pytest.raises(ValueError, match=rf"x\{suffix}"):
        load_vectors(path)


@pytest.mark.parametrize("suffix", VECS)
@pytest.mark.parametrize("row", [1, 3, 6])
def test_rows_of_other_widths(tmp_path, matrix, suffix, row):
    path = tmp_path / f"x{suffix}"
    X = matrix(suffix)
    save_vectors(path, X)
    raw = bytearray(path.read_bytes())
    raw[row * len(raw) // len(X)] = 9
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=f"row 0 has 5 features, row {row} says 9"):
        load_vectors(path)


@pytest.mark.parametrize("width", [0, -1])
def test_impossible_width(tmp_path, width):
    path = tmp_path / "x.fvecs"
    path.write_bytes(np.array([width, 1, 1], "<i4").tobytes())
    with pytest.raises(ValueError, match=f"first row has {width} features"):
        load_vectors(path)


@pytest.mark.parametrize("suffix", BIN)
@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_no_rows(tmp_path, suffix, shape):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(np.array(shape, "<u4").tobytes())
    with pytest.raises(ValueError, match="must not be empty"):
        load_vectors(path)


@pytest.mark.parametrize(
    "X", [np.ones(3), np.ones((2, 2, 2)), np.ones((0, 3)), np.array([["a"]])]
)
def test_npy_of_something_else(tmp_path, X):
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match=r"x\.npy"):
        load_vectors(tmp_path / "x.npy")


def test_npy_of_another_format(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones((2, 2)))
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    with pytest.raises(ValueError, match=r"x\.npy is not a whole \.npy file"):
        load_vectors(tmp_path / "x.npy")


@pytest.mark.parametrize("name", ["x.txt", "x", "fvecs"])
def test_another_suffix(tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in one of \.npy"):
        load_vectors(tmp_path / name)
    with pytest.raises(ValueError, match=r"must end in one of \.npy"):
        save_vectors(tmp_path / name, np.ones((2, 2)))


@pytest.mark.parametrize("suffix", TYPES)
def test_absent_file(tmp_path, suffix):
    with pytest.raises(FileNotFoundError):
        load_vectors(tmp_path / f"x{suffix}")


def test_another_mode(tmp_path, matrix):
    save_vectors(tmp_path / "x.npy", matrix(".npy"))
    with pytest.raises(ValueError, match=r"mmap_mode must be .* got 'r\+'"):
        load_vectors(tmp_path / "x.npy", mmap_mode="r+")


@pytest.mark.parametrize(
    ("suffix", "X", "message"),
    [
        (".u8bin", [[-1]], "from -1 to -1"),
        (".bvecs", [[0, 256]], "from 0 to 256"),
        (".i8bin", [[128]], "from 128 to 128"),
        (".ibin", [[2**40]], "int32"),
        (".ivecs", [[1.0]], "got X of float64"),
        (".fbin", [[np.nan]], "NaN"),
        (".fbin", [[1e39]], r"from 1e\+39"),
        (".u8bin", np.array([[300]], np.uint16), "from 300 to 300"),
        (".i8bin", np.array([[200]], np.uint8), "from 200 to 200"),
        (".fvecs", np.ones((0, 3)), "0 sample"),
        (".npy", [1, 2], "2D array"),
    ],
)
def test_what_a_format_cannot_hold(tmp_path, suffix, X, message):
    with pytest.raises(ValueError, match=message):
        save_vectors(tmp_path / f"x{suffix}", X)
    assert not list(tmp_path.iterdir())
