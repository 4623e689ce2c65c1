"""Pairs of texts from the data sets of Hugging Face."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from ._encode import as_encoder, encode_texts

__all__ = ["load_huggingface"]


def load_huggingface(
    path,
    *,
    key_column: str,
    query_column: str,
    split: str = "train",
    encoder=None,
    batch_size: int = 64,
    device: str | None = None,
) -> Bunch:
    """Load pairs of a key and a query written for it, and encode them.

    Each row of the table is such a pair: an answer and its question, a title and its
    abstract, a passage and a search that led to it. A key that several rows have is one
    key; all their queries are kept, as in a log.

    Parameters
    ----------
    path : str, path-like or datasets.Dataset
        Folder that ``save_to_disk`` wrote, or else whatever
        ``datasets.load_dataset`` takes, which downloads what is not a folder. Or a
        table that is loaded already, for example filtered. ``datasets`` reads them
        (``pip install "sk-amips[text]"``).
    key_column, query_column : str
        Columns of the texts.
    split : str, default="train"
        Part of the data set, where it has parts.
    encoder : str, path-like, object or None, default=None
        What makes vectors of the texts, as of :func:`encode_texts`; None: nothing does.
    batch_size : int, default=64
        Number of texts encoded at a time.
    device : str or None, default=None
        Where an encoder that is given by name runs.

    Returns
    -------
    data : Bunch
        ``key_texts``: list of str, each once, in the order of their first rows.
        ``query_texts``: list of str, one a row. ``groups``: ndarray of shape
        (n_queries,), dtype int64, the key of each query. With an encoder
        ``key_vectors``: ndarray of shape (n_keys, d), and ``query_vectors``: ndarray of
        shape (n_queries, d), both float32. ``DESCR``: str.

    Raises
    ------
    ImportError
        If ``datasets`` is not installed, or sentence-transformers for an encoder given
        by name.
    ValueError
        If there is no such split or column, no row, or a text is missing.

    See Also
    --------
    encode_texts : Encode other texts with the same model.

    Examples
    --------
    >>> from sk_amips.datasets import load_huggingface
    >>> data = load_huggingface(  # doctest: +SKIP
    ...     "folder/of/questions",
    ...     key_column="answer",
    ...     query_column="question",
    ...     encoder="sentence-transformers/all-MiniLM-L6-v2",
    ... )
    """
    table = _table(path, split)
    keys, queries = (_texts(table, name) for name in (key_column, query_column))
    rows = {}
    groups = [rows.setdefault(key, len(rows)) for key in keys]
    data = Bunch(
        key_texts=list(rows),
        query_texts=queries,
        groups=np.array(groups, dtype=np.int64),
        DESCR=f"{len(rows)} keys ({key_column}) and {len(queries)} queries "
        f"({query_column})",
    )
    if encoder is not None:
        encoder = as_encoder(encoder, device)
        for role in ("key", "query"):
            data[f"{role}_vectors"] = encode_texts(
                data[f"{role}_texts"], encoder, role=role, batch_size=batch_size
            )
    return data


def _table(path, split):
    """The table at a path, or that is given."""
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            "load_huggingface needs datasets: pip install datasets, or "
            "'sk-amips[text]'."
        ) from error
    if not isinstance(path, str | os.PathLike):
        table = path
    elif any((Path(path) / f).exists() for f in ("state.json", "dataset_dict.json")):
        table = datasets.load_from_disk(os.fspath(path))
    else:
        table = datasets.load_dataset(os.fspath(path), split=split)
    if not isinstance(table, datasets.DatasetDict):
        return table
    if split not in table:
        raise ValueError(f"split must be one of {sorted(table)}, got {split!r}.")
    return table[split]


def _texts(table, name: str) -> list[str]:
    """A column of texts."""
    if name not in table.column_names:
        raise ValueError(f"A column must be one of {table.column_names}, got {name!r}.")
    texts = list(table[name][:])
    if not texts:
        raise ValueError(f"Column {name!r} must have at least one row, got none.")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"Column {name!r} must hold texts, got {text!r} in row {row}: give a "
                "filtered table."
            )
    return texts
