import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sk_amips._validation import (
    as_keys,
    check_same_width,
    key_norms,
    row_blocks,
    squared_norms,
)


@pytest.fixture
def keys(rng):
    return rng.normal(size=(40, 6))


@given(n_rows=st.integers(0, 50), size=st.integers(1, 60))
def test_row_blocks(n_rows, size):
    blocks = row_blocks(n_rows, size)
    covered = [i for block in blocks for i in range(n_rows)[block]]
    assert covered == list(range(n_rows))
    assert all(0 < block.stop - block.start <= size for block in blocks)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_float_arrays_are_returned_themselves(keys, dtype, order):
    keys = keys.astype(dtype, order=order)
    assert as_keys(keys) is keys
    view = keys[::2, 1:]
    assert as_keys(view) is view
    keys.flags.writeable = False
    assert as_keys(keys) is keys


def test_memmap_is_returned_itself(tmp_path, keys):
    np.save(tmp_path / "keys.npy", keys)
    mapped = np.load(tmp_path / "keys.npy", mmap_mode="r")
    assert as_keys(mapped) is mapped


@pytest.mark.parametrize("convert", [np.ndarray.tolist, lambda a: a.astype(object)])
def test_other_numbers_are_converted(keys, convert):
    converted = as_keys(convert(keys))
    assert converted.dtype == np.float64
    np.testing.assert_array_equal(converted, keys)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
def test_integers_are_passed_on(dtype):
    keys = np.eye(3).astype(dtype)
    assert as_keys(keys) is keys


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_data_frames_are_converted(keys, package):
    frames = pytest.importorskip(package)
    frame = frames.DataFrame({f"column{i}": column for i, column in enumerate(keys.T)})
    np.testing.assert_array_equal(as_keys(frame), keys)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (sparse.eye_array(3), TypeError, r"keys must be a dense array.*toarray\(\)"),
        (sparse.csr_matrix(np.eye(3)), TypeError, "keys must be a dense array"),
        (np.ones(3), ValueError, r"\(n_keys, n_features\), got 1-D of shape \(3,\)"),
        (np.ones((2, 3, 4)), ValueError, r"got 3-D of shape \(2, 3, 4\)"),
        (np.ones(()), ValueError, "got 0-D"),
        (np.empty((0, 3)), ValueError, r"keys must not be empty, got shape \(0, 3\)"),
        (np.empty((3, 0)), ValueError, r"keys must not be empty, got shape \(3, 0\)"),
        ([1, 2, 3], ValueError, "Expected 2D array"),
        ([[]], ValueError, "0 feature"),
        ([["a", "b"]], ValueError, "could not convert string"),
        ([[1, 2], [3]], ValueError, "inhomogeneous"),
        (np.ones((2, 2), dtype=complex), ValueError, "Complex data"),
        ("keys", ValueError, "could not convert string|Expected 2D array"),
        (None, (TypeError, ValueError), "."),
    ],
)
def test_bad_keys(wrong, kind, message):
    with pytest.raises(kind, match=message):
        as_keys(wrong)


def test_as_keys_leaves_values_to_key_norms(keys):
    keys[3, 2] = np.nan
    assert as_keys(keys) is keys
    assert np.isnan(as_keys(keys.tolist())[3, 2])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_squared_norms(keys, dtype):
    keys = np.asfortranarray(keys.astype(dtype))
    squares = squared_norms(keys)
    assert squares.dtype == np.float64
    exact = np.square(keys.astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(squares, exact, rtol=1e-14)


def test_norms_over_several_blocks(rng):
    keys = rng.normal(size=(40_000, 2)).astype(np.float32)
    keys[35_000] = 100
    norms = np.linalg.norm(keys.astype(np.float64), axis=1)
    np.testing.assert_allclose(squared_norms(keys), norms**2)
    found = key_norms(keys)
    assert found.max == pytest.approx(100 * np.sqrt(2))
    assert found.rms == pytest.approx(np.sqrt(np.mean(norms**2)))
    assert type(found.max) is type(found.rms) is float


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_norms_beyond_the_squares_of_float32(keys, size):
    expected = np.linalg.norm(keys, axis=1).max()
    found = key_norms((size * keys).astype(np.float32))
    assert found.max == pytest.approx(size * expected, rel=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 7, 39])
def test_not_finite(keys, value, row):
    keys[row, 1] = keys[39, 0] = value
    with pytest.raises(ValueError, match=rf"NaN or infinity \(first in row {row}\)"):
        key_norms(keys)


def test_not_finite_in_a_later_block():
    keys = np.ones((40_000, 1), dtype=np.float16)
    keys[[30_000, 35_000]] = np.nan
    with pytest.raises(ValueError, match=r"\(first in row 30000\)"):
        key_norms(keys)


def test_zero_norm(keys):
    keys[[5, 8]] = 0
    with pytest.raises(ValueError, match=r"zero norm \(first in row 5\)"):
        key_norms(keys)
    allowed = key_norms(keys, allow_zero=True)
    assert allowed.max == pytest.approx(np.linalg.norm(keys, axis=1).max())


def test_allowing_zero_allows_nothing_else(keys):
    keys[5] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        key_norms(keys, allow_zero=True)


def test_same_width(keys):
    check_same_width(keys, keys[:3])
    with pytest.raises(ValueError, match=r"X has 5 features, keys have 6\b"):
        check_same_width(keys, keys[:, 1:])
