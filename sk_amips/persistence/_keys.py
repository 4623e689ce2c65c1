"""Whether keys are those that an estimator was fitted with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from .._memmaps import release
from .._validation import row_blocks
from ._errors import InvalidFileError

__all__ = ["check_keys", "describe_keys", "write_keys"]

# Rows that are compared: the first and the last, and others evenly between them.
_ROWS = 1024


def describe_keys(keys: np.ndarray) -> dict:
    """Shape, precision, and a hash of up to 1,024 rows."""
    rows = np.unique(np.linspace(0, len(keys) - 1, _ROWS).astype(np.int64))
    some = np.ascontiguousarray(keys[rows])
    return {
        "shape": list(keys.shape),
        "dtype": keys.dtype.str,
        "sha256": hashlib.sha256(some.tobytes()).hexdigest(),
    }


def check_keys(keys: np.ndarray, expected: dict) -> None:
    """Raise if keys are not the ones described.

    Raises
    ------
    InvalidFileError
        With what differs.
    """
    found = describe_keys(keys)
    for name, what in (("shape", "shape"), ("dtype", "dtype"), ("sha256", "hash")):
        if found[name] != expected[name]:
            raise InvalidFileError(
                "The keys are not those that the estimator was fitted with: their "
                f"{what} is {found[name]}, and was {expected[name]}."
            )


def write_keys(path: Path, keys: np.ndarray) -> None:
    """Write keys, which may be more than memory holds, as a ``.npy`` file."""
    header = {
        "descr": np.lib.format.dtype_to_descr(keys.dtype),
        "fortran_order": False,
        "shape": keys.shape,
    }
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for rows in row_blocks(len(keys)):
            np.ascontiguousarray(keys[rows]).tofile(file)
            release(keys, rows)
