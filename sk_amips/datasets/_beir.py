"""Folders in the format of BEIR."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

__all__ = ["load_beir"]


def load_beir(folder: str | os.PathLike, split: str = "test") -> Bunch:
    r"""Load texts, queries and judgements from a folder in the format of BEIR.

    The folder holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``
    [1]_. :func:`encode_texts`, or any other encoder, makes vectors of the texts.

    Parameters
    ----------
    folder : str or path-like
        Folder of the set.
    split : str, default="test"
        Name of the judgements, often "train", "dev" or "test".

    Returns
    -------
    data : Bunch
        ``key_texts``: list of str, title and text of each document. ``key_ids``: list
        of str. ``query_texts``: list of str, the queries with a relevant document in
        this split, in the order of their file. ``query_ids``: list of str. ``groups``:
        ndarray of shape (n_queries,), the first relevant document of each query.
        ``qrels``: ndarray of shape (n_pairs, 2), dtype int64, rows of queries and of
        documents relevant to them, in the order of their file. ``relevance``: ndarray
        of shape (n_pairs,), how relevant, above zero. ``DESCR``: str.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a line cannot be read, an id occurs twice, or no query has a relevant
        document.

    Warns
    -----
    UserWarning
        If judgements name queries or documents that do not exist; these are left out.

    References
    ----------
    .. [1] Thakur, Reimers, Rücklé, Srivastava and Gurevych, "BEIR: A Heterogeneous
       Benchmark for Zero-shot Evaluation of Information Retrieval Models", NeurIPS
       Datasets and Benchmarks, 2021.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from sk_amips.datasets import load_beir
    >>> with tempfile.TemporaryDirectory() as name:
    ...     folder = pathlib.Path(name)
    ...     (folder / "qrels").mkdir()
    ...     text = '{"_id": "d", "title": "Rain", "text": "Water that falls."}'
    ...     _ = (folder / "corpus.jsonl").write_text(text)
    ...     _ = (folder / "queries.jsonl").write_text('{"_id": "q", "text": "wet"}')
    ...     lines = ["query-id\tcorpus-id\tscore", "q\td\t1"]
    ...     _ = (folder / "qrels" / "test.tsv").write_text("\n".join(lines))
    ...     data = load_beir(folder)
    >>> data.key_texts, data.query_texts, data.groups
    (['Rain Water that falls.'], ['wet'], array([0]))
    """
    folder = Path(folder)
    documents = _read_texts(folder / "corpus.jsonl")
    queries = _read_texts(folder / "queries.jsonl")
    file = folder / "qrels" / f"{split}.tsv"
    if not file.exists():
        splits = sorted(other.stem for other in file.parent.glob("*.tsv"))
        raise FileNotFoundError(f"There is no {file}: splits are {splits}.")
    judged = _read_qrels(file)
    known = [pair for pair in judged if pair[0] in queries and pair[1] in documents]
    if not known:
        raise ValueError(f"{file} has no query with a relevant document.")
    if len(known) < len(judged):
        warnings.warn(
            f"{len(judged) - len(known)} of {len(judged)} judgements of {file} name "
            "queries or documents that do not exist: they are left out.",
            stacklevel=2,
        )
    asked = {query for query, _, _ in known}
    query_ids = [query for query in queries if query in asked]
    query_row = {query: row for row, query in enumerate(query_ids)}
    key_row = {document: row for row, document in enumerate(documents)}
    pairs = np.array([(query_row[q], key_row[d]) for q, d, _ in known], dtype=np.int64)
    _, first = np.unique(pairs[:, 0], return_index=True)
    return Bunch(
        key_texts=list(documents.values()),
        key_ids=list(documents),
        query_texts=[queries[query] for query in query_ids],
        query_ids=query_ids,
        groups=pairs[first, 1],
        qrels=pairs,
        relevance=np.array([score for _, _, score in known]),
        DESCR=f"{len(documents)} documents and {len(query_ids)} queries of {folder}, "
        f"split {split!r}",
    )


def _read_texts(path: Path) -> dict[str, str]:
    """Texts by id, in the order of the lines; titles come first."""
    texts = {}
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                name, text = _read_entry(json.loads(line))
            except (KeyError, TypeError, ValueError, RecursionError) as error:
                raise ValueError(
                    f"Line {number} of {path} must be a JSON object with '_id' and "
                    f"'text', got {line[:80]!r}."
                ) from error
            if name in texts:
                raise ValueError(f"Line {number} of {path} has the id {name!r} again.")
            texts[name] = text
    return texts


def _read_entry(entry: dict) -> tuple[str, str]:
    """Id and text of an entry, its title first; an id may be a number."""
    name, title, text = entry["_id"], entry.get("title") or "", entry["text"]
    parts = isinstance(title, str), isinstance(text, str)
    if not all(parts) or isinstance(name, bool) or not isinstance(name, (str, int)):
        raise TypeError("Ids and texts are strings.")
    return str(name), f"{title} {text}".strip()


def _read_qrels(path: Path) -> list[tuple[str, str, int]]:
    """Query, document and score of judgements above zero; a header may come first."""
    judged = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            fields = line.rstrip("\r\n").split("\t")
            if number == 1 and len(fields) == 3 and not _has_digit(fields[2]):
                continue
            try:
                query, document, score = fields
                score = int(score)
            except ValueError as error:
                raise ValueError(
                    f"Line {number} of {path} must be a query, a document and a whole "
                    f"number between tabs, got {line[:80]!r}."
                ) from error
            if score > 0:
                judged.append((query, document, score))
    return judged


def _has_digit(field: str) -> bool:
    return any(character.isdigit() for character in field)
