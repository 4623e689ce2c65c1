"""Faiss under this library's number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["as_many_threads_as_torch"]


@contextmanager
def as_many_threads_as_torch() -> Iterator[None]:
    """Let Faiss, called by this thread, run as many threads as torch does."""
    import faiss  # here, so that only what needs it does

    n_threads = faiss.omp_get_max_threads()  # a setting of this thread alone
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(n_threads)
