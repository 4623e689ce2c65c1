"""A plain Faiss index that visits lists as a linear router does."""

from __future__ import annotations

import numpy as np

from .._memmaps import release
from .._validation import row_blocks
from ..routing import CentroidRouter, LinearRouter

__all__ = ["to_faiss"]


def to_faiss(router, n_probe: int | None):
    """``faiss.IndexIVFFlat`` with a router's weights in place of centroids.

    Parameters
    ----------
    router : CentroidRouter or LinearRouter
        A fitted one.
    n_probe : int or None
        Lists to visit by default; None: all.
    """
    if isinstance(router, CentroidRouter):
        weights = router.partition_.centroids_
    elif isinstance(router, LinearRouter) and not np.any(router.intercept_):
        weights = router.coef_
    else:
        raise ValueError(
            "Faiss orders lists by inner products alone: the router must be a "
            "CentroidRouter, or a LinearRouter with fit_intercept=False; got "
            f"{type(router).__name__}."
        )
    import faiss  # here, so that only what needs it does

    keys, partition = router.keys_, router.partition_
    d = keys.shape[1]
    quantizer = faiss.IndexFlatIP(d)
    quantizer.add(np.ascontiguousarray(weights, dtype=np.float32))
    index = faiss.IndexIVFFlat(
        quantizer, d, partition.n_partitions, faiss.METRIC_INNER_PRODUCT
    )
    # The index frees its quantizer.
    quantizer.this.disown()
    index.own_fields = True
    index.is_trained = True
    add_to_lists(index, keys, partition.labels_)
    index.nprobe = partition.n_partitions if n_probe is None else n_probe
    return index


def add_to_lists(
    index, keys: np.ndarray, labels: np.ndarray, unit: float = 1.0
) -> None:
    """Add keys over a unit to given lists of an index, under their row numbers."""
    import faiss

    for rows in row_blocks(len(keys)):
        block = in_units(keys[rows], unit)
        ids = np.arange(rows.start, rows.stop)
        lists = labels[rows].astype(np.int64)
        pointers = (faiss.swig_ptr(array) for array in (block, ids, lists))
        index.add_core(len(block), *pointers)
        release(keys, rows)


def in_units(keys: np.ndarray, unit: float) -> np.ndarray:
    """Keys over a unit, in float32."""
    if keys.dtype == np.float16:
        keys = keys.astype(np.float32)
    keys = keys / unit if unit != 1 else keys
    return np.ascontiguousarray(keys, dtype=np.float32)
