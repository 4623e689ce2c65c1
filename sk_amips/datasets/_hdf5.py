"""HDF5 files of the benchmarks of nearest-neighbour search."""

from __future__ import annotations

import os

import numpy as np
from sklearn.utils import Bunch

from .._validation import check_same_width, squared_norms

__all__ = ["load_hdf5"]

_INNER_PRODUCT = ("dot", "ip", "normalized")
_COSINE = ("angular", "cosine")
_DISTANCES = (*_INNER_PRODUCT, *_COSINE, "euclidean")
# What each matrix of such a file is to this library.
_ROLES = {"train": "key", "test": "query", "learn": "learn"}
# Bytes that one stored byte of a compressed matrix may stand for.
_LARGEST_RATIO = 100
# Rows of norm one, up to float32's rounding, are left as they are.
_ROUNDING = 1e-6


def load_hdf5(path: str | os.PathLike, *, distance: str | None = None) -> Bunch:
    """Load keys and queries of ann-benchmarks or VIBE, for inner products.

    Such a file holds vectors to search, ``train``, queries, ``test``, and the rows of
    their nearest vectors [1]_; out-of-distribution sets of VIBE also hold queries to
    learn from [2]_. Keys and queries are returned such that the nearest keys are those
    of largest inner product: for ``angular`` and ``cosine`` all are scaled to norm one,
    for ``euclidean`` the mean key is subtracted, and they get one more feature.

    Parameters
    ----------
    path : str or path-like
        File in the format HDF5. ``h5py`` reads it (``pip install
        "sk-amips[datasets]"``).
    distance : str or None, default=None
        What nearness means: "dot", "ip", "normalized", "angular", "cosine" or
        "euclidean"; None takes the attribute ``distance`` of the file.

    Returns
    -------
    data : Bunch
        ``key_vectors``: array of shape (n_keys, d), of ``train``. ``query_vectors``:
        array of shape (n_queries, d), of ``test``. ``learn_vectors``: array of shape
        (n_learn, d), if the file has ``learn``: queries to fit on. ``neighbors``:
        ndarray of shape (n_queries, k), dtype int64, if the file has it: rows of the
        nearest keys of ``query_vectors``, in the order of the file. ``distance``: str.
        ``DESCR``: str. Vectors that are stored in one piece, as both benchmarks do, and
        that need no change are read-only memmaps.

    Raises
    ------
    ImportError
        If ``h5py`` is not installed.
    ValueError
        If the file is not whole, lacks ``train`` or ``test``, contradicts itself, or
        its distance has no inner product; if a matrix is not one of numbers, lies in
        other files, or is larger than what is stored of it: uncompressed by any byte,
        compressed by more than 100 times. Vectors that are read for their norms, as for
        ``angular``, ``cosine`` and ``euclidean``, must be finite.

    See Also
    --------
    load_vectors : One matrix in a file.

    Notes
    -----
    For a query x, the key k of least ‖x - k‖² is that of largest ⟨x, k⟩ - ‖k‖²/2, as
    ‖x‖² is the same for all keys. This is the inner product of (x, 1) with
    (k, -‖k‖²/2), computed in double precision and stored in that of the vectors,
    float32 at least. Subtracting the mean key m from x and k changes no distance, and
    keeps ‖k‖² from drowning the differences between scores.

    References
    ----------
    .. [1] Aumüller, Bernhardsson and Faithfull, "ANN-Benchmarks", Information Systems
       87, 2020.
    .. [2] Jääsaari, Hyvönen, Ceccarello, Roos and Aumüller, "VIBE: Vector Index
       Benchmark for Embeddings", https://arxiv.org/abs/2505.17810.

    Examples
    --------
    >>> import os, tempfile
    >>> import h5py
    >>> from sk_amips.datasets import load_hdf5
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "small.hdf5")
    ...     with h5py.File(path, "w") as file:
    ...         file.attrs["distance"] = "euclidean"
    ...         file["train"], file["test"] = [[3.0, 4.0], [1.0, 0.0]], [[2.0, 0.0]]
    ...     data = load_hdf5(path)
    >>> data.key_vectors
    array([[ 1. ,  2. , -2.5],
           [-1. , -2. , -2.5]])
    >>> data.query_vectors @ data.key_vectors.T
    array([[-6.5,  1.5]])
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            'load_hdf5 needs h5py: pip install h5py, or "sk-amips[datasets]".'
        ) from error
    try:
        file = h5py.File(path, "r")
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        raise ValueError(f"{path} is not a whole HDF5 file: {error}") from error
    with file:
        distance = _check_distance(path, distance, file.attrs.get("distance"))
        if missing := {"train", "test"} - set(file):
            raise ValueError(
                f"{path} must hold 'train' and 'test', got no {sorted(missing)}: it "
                f"has {sorted(file)}."
            )
        names = [name for name in (*_ROLES, "neighbors") if name in set(file)]
        datasets = {name: file.get(name) for name in names}
        for name, dataset in datasets.items():
            _check_matrix(name, dataset, path, "iu" if name == "neighbors" else "fiu")
        _check_consistent(path, **datasets)
        vectors = {
            name: _matrix(datasets[name], path) for name in _ROLES if name in datasets
        }
        neighbors = datasets["neighbors"][...] if "neighbors" in datasets else None
    n_keys, n_queries = len(vectors["train"]), len(vectors["test"])
    if neighbors is not None:
        _check_rows(path, neighbors, n_keys)
    data = Bunch(
        distance=distance,
        DESCR=f"{n_keys} keys and {n_queries} queries of {path}, {distance} distance",
    )
    if distance not in _INNER_PRODUCT:
        squares = {name: _finite_squares(X, name, path) for name, X in vectors.items()}
    if distance == "euclidean":
        mean = vectors["train"].mean(axis=0, dtype=np.float64)
    for name, X in vectors.items():
        if distance in _COSINE:
            X = _unit(X, squares[name])
        elif distance == "euclidean":
            X = _with_column(X, mean, is_query=name != "train")
        data[f"{_ROLES[name]}_vectors"] = X
    if neighbors is not None:
        data.neighbors = neighbors.astype(np.int64)
    return data


def _check_distance(path, distance, attribute) -> str:
    """The distance asked for, or else that of the file, in lower case."""
    if isinstance(attribute, bytes):
        attribute = attribute.decode()
    found = attribute if distance is None else distance
    if found is None:
        raise ValueError(f"{path} has no attribute 'distance': give distance.")
    if str(found).lower() not in _DISTANCES:
        raise ValueError(
            f"distance must be one of {_DISTANCES}, got {found!r}: nearness has to be "
            "an inner product."
        )
    return str(found).lower()


def _check_matrix(name, dataset, path, kinds) -> None:
    """Raise unless a matrix of numbers is there, in this file and as large as it says.

    Nothing of it is read: a few bytes can say that there are thousands of gigabytes.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(
            f"{name} of {path} must be a matrix, got {type(dataset).__name__}."
        )
    if dataset.ndim != 2 or not dataset.size or dataset.dtype.kind not in kinds:
        numbers = "numbers" if "f" in kinds else "integers"
        raise ValueError(
            f"{name} of {path} must be a matrix of {numbers} with at least one row, "
            f"got {dataset.dtype} of shape {dataset.shape}."
        )
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name} of {path} must lie in this file, not in others.")
    is_filtered = dataset.id.get_create_plist().get_nfilters() > 0
    stored = min(dataset.id.get_storage_size(), os.path.getsize(path))
    if dataset.nbytes > stored * (_LARGEST_RATIO if is_filtered else 1):
        raise ValueError(
            f"{name} of {path} must have the numbers of its shape {dataset.shape}, "
            f"{dataset.nbytes} bytes: {stored} are stored."
        )


def _check_consistent(path, train, test, learn=None, neighbors=None) -> None:
    """Raise unless widths and lengths fit."""
    for queries in (test, learn):
        if queries is not None:
            check_same_width(train, queries)
    if neighbors is not None and len(neighbors) != len(test):
        raise ValueError(
            f"{path} must have neighbors for each of its {len(test)} queries, got "
            f"shape {neighbors.shape}."
        )


def _check_rows(path, neighbors, n_keys) -> None:
    """Raise unless neighbors are rows of the keys."""
    if not 0 <= neighbors.min() <= neighbors.max() < n_keys:
        raise ValueError(
            f"{path} must have neighbors from 0 to {n_keys - 1}, rows of the keys, got "
            f"{neighbors.min()} to {neighbors.max()}."
        )


def _matrix(dataset, path) -> np.ndarray:
    """A matrix as a memmap where it lies in one piece, or else in memory."""
    offset = dataset.id.get_offset()
    if offset is None:
        return dataset[...]
    return np.memmap(path, dataset.dtype, "r", offset=offset, shape=dataset.shape)


def _finite_squares(X, name, path) -> np.ndarray:
    """Squared norm of each row; raise if one is not a finite number."""
    squares = squared_norms(X)
    finite = np.isfinite(squares)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(
            f"{name} of {path} contains NaN or infinity (first in row {row})."
        )
    return squares


def _with_column(X, mean, *, is_query) -> np.ndarray:
    """Rows less the mean key, with one more feature; float32 unless they are wider."""
    wider = np.empty((len(X), X.shape[1] + 1), np.result_type(X.dtype, np.float32))
    wider[:, :-1] = X
    # The same shift for all, to the last bit.
    wider[:, :-1] -= mean.astype(wider.dtype)
    wider[:, -1] = 1 if is_query else -squared_norms(wider[:, :-1]) / 2
    return wider


def _unit(X, squares) -> np.ndarray:
    """Rows of norm one, but for zero rows; the matrix itself where they are."""
    norms = np.sqrt(squares)[:, None]
    norms[norms == 0] = 1
    if np.abs(norms - 1).max() <= _ROUNDING:
        return X
    unit = np.empty(X.shape, np.result_type(X.dtype, np.float32))
    return np.divide(X, norms, out=unit, casting="same_kind")
